"""The suite's own tests: what it compares, how it counts, what it writes. No time is asserted, and no peer needed."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm

from . import comparisons, functions, machine, measure, memory, populations, report, scans, tables, versions, widths
from .jobs import Job, Outcome
from .judge import Disagreement, Judge
from .measure import Effort, Pairs, calls, paired
from .peers import CORES, OURS, PEERS, Peer
from .workloads import WORKLOADS, layers, make_data, make_params

FACTS = {
    "cpu": "A CPU", "code": "a-code", "cores": 2, "vector": "512 bits", "system": "Linux", "python": "3.12",
    "versions": {"numpy": "2"}, "settings": {}, "load": 0.0, "date": "2026-01-01",
}  # fmt: skip
CEILING = {dtype: {"one": 100.0, "all": 200.0} for dtype in ("float32", "float64")}


def row(**peers) -> dict:
    """Return a row of figures."""
    return {"steps": 1, "us": 2.0, "of_ceiling": 0.25, "best": min(peers, key=lambda p: peers[p]["ratio"]), "peers": peers}


def section() -> dict:
    """Return a report's section of one row, in which JAX is the best peer."""
    cells = {"torch": {"us": 20.0, "ratio": 10.0}, "jax": {"us": 6.0, "ratio": 3.0}}
    return {"machine": FACTS, "quick": True, "result": {"ceiling": CEILING, "rows": {"S1": row(**cells)}}}


@pytest.mark.parametrize("name", WORKLOADS)
def test_data_and_parameters_are_the_same_at_each_call(name):
    w = WORKLOADS[name]
    first, second = make_data(w), make_data(w)
    assert np.array_equal(first.x, second.x)
    assert np.array_equal(first.y, second.y)
    assert np.array_equal(make_params(w), make_params(w))


@pytest.mark.parametrize("name", WORKLOADS)
def test_data_fit_the_workload(name):
    w = WORKLOADS[name]
    data, params = make_data(w), make_params(w)
    assert data.x.shape == (w.rows, w.widths[0])
    assert data.x.dtype == params.dtype == w.dtype
    assert w.rows % w.batch == 0
    assert sum(weights.size + bias.size for weights, bias in layers(w, params)) == params.size


@pytest.mark.parametrize("name", ["T1", "T2", "T4", "S1", "I1", "I3"])
def test_we_come_to_what_wider_arithmetic_comes_to(name):
    Judge(WORKLOADS[name]).check(OURS)


class Wrong(Peer):
    """A peer whose results are a little off."""

    def prepare(self, workload, data, params, **variant):
        """Return a job of NumPy's with a learning rate, or outputs, one thousandth too large."""
        job = PEERS["numpy"].prepare(workload, data, params)
        original = job.outcome
        start = params if workload.task == "train" else 0.0

        def outcome(returned) -> Outcome:
            right = original(returned)
            return Outcome(right.loss, start + 1.001 * (right.values - start))

        job.outcome = outcome
        return job


@pytest.mark.parametrize("name", ["T1", "T2", "T4", "S1", "I1"])
def test_a_result_that_is_a_thousandth_off_is_noticed(name):
    with pytest.raises(Disagreement, match="away from the exact one"):
        Judge(WORKLOADS[name]).check(Wrong("wrong", "Wrong", (), ()))


class Counting(Job):
    """A job that knows how often it ran and was reset."""

    stateful = True

    def __init__(self):
        self.log = []

    def reset(self):
        """Note it."""
        self.log.append("reset")

    def run(self):
        """Note it."""
        self.log.append("run")


def test_a_stateful_job_is_reset_before_each_run():
    first, second = Counting(), Counting()
    pairs = paired(first, second, Effort(turn=1e-6, fewest=3, most=3, seconds=0.0))
    assert len(pairs.ours) == len(pairs.theirs) == 3
    for job in (first, second):
        assert job.log == ["reset", "run"] * (len(job.log) // 2)


def test_calls_last_about_as_long_as_asked():
    count = 0

    def function():
        nonlocal count
        count += 1

    seconds = calls(function, 1e-3)
    assert count * seconds >= 1e-3


def test_the_ratio_is_the_median_of_ratios_not_the_ratio_of_medians():
    pairs = Pairs(ours=[1.0, 2.0, 4.0], theirs=[3.0, 2.0, 8.0])
    assert pairs.ratio == 2.0


def test_a_rare_slow_run_is_in_the_mean_of_all_runs_and_not_in_the_median_of_turns(monkeypatch):
    first, second = Counting(), Counting()
    turns = {first: iter([[1.0] * 4] * 5), second: iter([[1.0] * 4, [1.0, 1.0, 390.0], *[[1.0] * 4] * 3])}
    monkeypatch.setattr(measure, "runs", lambda job, least: next(turns[job]))
    pairs = paired(first, second, Effort(fewest=5, most=5))
    assert (pairs.ratio, len(pairs.our_runs), len(pairs.their_runs)) == (1.0, 20, 19)
    assert pairs.means == (1.0, (18 + 390) / 19)
    monkeypatch.undo()
    assert measure.turn(first, 1e-6) > 0.0
    assert all(seconds > 0.0 for seconds in measure.runs(second, 1e-4))


def test_figures_of_all_runs_take_all_of_the_time(monkeypatch):
    efforts = []

    def given(first, second, effort):
        efforts.append(effort)
        return Pairs(ours=[1.0, 1.0], theirs=[2.0, 3.0], our_runs=[1.0, 1.0], their_runs=[2.0, 2.0, 5.0])

    monkeypatch.setattr(comparisons, "paired", given)
    row = comparisons.compare_all_runs(Counting(), Counting(), 10, Effort(seconds=3.0))
    assert efforts == [Effort(seconds=3.0, precision=0.0)]
    assert (row["first"], row["second"], row["ratio"]) == (1e5, 2.5e5, 2.5)
    assert [row[name] for name in ("mean_first", "mean_second", "mean_ratio")] == pytest.approx([1e5, 3e5, 3.0])
    assert row["runs"] == 2


BUSY = {"first": 4.0, "second": 5.0, "ratio": 1.25, "low": 1.1, "high": 1.4}
MEANS = {"mean_first": 6.0, "mean_second": 66.0, "mean_ratio": 11.0, "runs": 40}


@pytest.mark.parametrize("means", [MEANS, {}], ids=["measured", "of before"])
def test_a_busy_machine_is_judged_by_the_mean_and_the_median_is_shown(means, tmp_path, capsys):
    result = {"cores": 2, "idle": {"S1": BUSY}, "busy": {"S1": BUSY | means}}
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"threads": {"machine": FACTS, "quick": True, "result": result}}), encoding="utf-8")
    assert report.main(["--read", str(path)]) == 0
    shown = [[cell.strip() for cell in line.strip("│").split("│")] for line in capsys.readouterr().out.splitlines()]
    mean = ["S1, all cores busy, mean", "66.00", "6.00", "11.00 times the time", "", "≤ 1.3"]
    median = ["S1, all cores busy, median", "5.00", "4.00", "1.25 times the time", "1.10 to 1.40", ""]
    assert [cells for cells in shown if "busy" in cells[0]] == [mean, median][not means :]


def test_operations_of_a_training_step_leave_out_the_gradient_of_the_inputs():
    w = WORKLOADS["B1"]
    hidden = 1024 * 1024 + 1024 * 10
    assert w.flops == 2 * 256 * (3 * (1024 * 1024 + hidden) - 1024 * 1024)


def test_the_table_names_ratios_the_best_peer_and_the_machine():
    text = tables.markdown(section())
    assert (
        "| S1 | 64-64-64-10 ReLU, cross-entropy Adam, batch 64 | 2.00 | 20.0 (10.0×) | **6.00 (3.00×)** | 3.00× | 25% |" in text
    )
    assert "100 GFLOP/s" in text
    assert "A CPU (a-code), 2 cores" in text


@pytest.mark.parametrize("quick", [True, False])
def test_the_table_names_the_command_that_made_it(quick):
    assert f"`{tables.COMMAND}{' --quick' * quick}` made this table." in tables.markdown(section() | {"quick": quick})


def test_the_table_goes_between_its_markers(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n", encoding="utf-8")
    tables.write_readme(section(), readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert tables.markdown(section()) in text


def test_a_readme_without_markers_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no place for the table"):
        tables.write_readme(section(), readme)
    assert readme.read_text(encoding="utf-8") == "nothing\n"


def test_a_report_is_read_from_a_file(tmp_path, capsys):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"rows": section()}), encoding="utf-8")
    assert report.main(["--read", str(path)]) == 0
    assert "cross-entropy" in capsys.readouterr().out


def test_a_peer_that_failed_makes_the_report_fail(tmp_path, capsys):
    report_ = {"rows": section()}
    report_["rows"]["result"]["rows"]["S1"]["peers"]["numpy"] = {"error": "differs"}
    path = tmp_path / "results.json"
    path.write_text(json.dumps(report_), encoding="utf-8")
    assert report.main(["--read", str(path)]) == 1
    assert "fails" in capsys.readouterr().out


FORMULAS = {"relu float32": {"ns": 1.0, "built-in ns": 1.0, "ratio": 1.0}}


@pytest.fixture
def measured(monkeypatch, tmp_path) -> list[str]:
    """Note the sections that are measured; no time goes by, scalars fail, and the default file is another one."""
    names: list[str] = []

    def given(name, options, say):
        names.append(name)
        if name == "scalars":
            raise OSError("no such thing here")
        return FORMULAS

    monkeypatch.setattr(report, "_measure_section", given)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(report, "PICTURES", tmp_path / "docs")
    monkeypatch.setattr(machine, "describe", lambda: FACTS)
    monkeypatch.setattr(tables, "show", lambda section: None)
    return names


def stored(path: Path) -> list[str]:
    """Return the names of the sections in a file."""
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


@pytest.mark.parametrize("content", [None, "not a report", "[]"], ids=["no folder", "text", "list"])
def test_a_file_that_cannot_take_the_figures_is_refused_before_they_are_measured(content, measured, tmp_path, capsys):
    path = tmp_path / "absent" / "out.json" if content is None else tmp_path / "out.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        report.main(["--sections", "formulas", "--out", str(path)])
    assert "cannot take the figures" in capsys.readouterr().err
    assert measured == []


def test_a_section_that_fails_ends_no_other_one(measured, tmp_path, capsys):
    path = tmp_path / "out.json"
    assert report.main(["--sections", "scalars,formulas", "--out", str(path)]) == 1
    assert measured == ["scalars", "formulas"]
    assert stored(path) == ["formulas"]
    shown = capsys.readouterr().out
    assert "scalars fails: OSError('no such thing here')" in shown
    assert "Activations from formulas" in shown


def test_a_picture_that_cannot_be_drawn_takes_no_figures_with_it(measured, monkeypatch, tmp_path):
    def fail(name, result, folder):
        raise OSError(f"no room in {folder}")

    monkeypatch.setattr(scans, "draw", fail)
    assert report.main(["--sections", "formulas"]) == 1
    assert stored(report.RESULTS) == ["formulas"]


def test_pictures_lie_beside_the_file_unless_that_is_the_default(measured, monkeypatch, tmp_path):
    folders = []
    monkeypatch.setattr(scans, "draw", lambda name, result, folder: folders.append(folder))
    assert report.main(["--sections", "formulas", "--out", str(tmp_path / "out.json")]) == 0
    assert report.main(["--sections", "formulas"]) == 0
    assert folders == [tmp_path, report.PICTURES]


def test_the_width_scan_has_a_picture_and_formulas_have_none(tmp_path):
    curve = {"1": 2.0, "8": 3.0}
    scans.draw("widths", {"fastmlp": curve, "fastmlp, one thread": curve, "PyTorch": {}}, tmp_path)
    scans.draw("formulas", FORMULAS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["width-scan.png"]


@pytest.mark.parametrize("part", [["--rows", "T1"], ["--peers", "numpy"]], ids=["rows", "peers"])
def test_a_part_is_kept_only_where_it_is_told_to_be(part, measured, tmp_path, capsys):
    report.RESULTS.write_text('{"rows": {}}', encoding="utf-8")
    assert report.main(part) == 0
    assert report.RESULTS.read_text(encoding="utf-8") == '{"rows": {}}'
    assert "not kept" in capsys.readouterr().out
    assert report.main([*part, "--out", str(tmp_path / "out.json")]) == 0
    assert stored(tmp_path / "out.json") == ["rows"]


@pytest.mark.parametrize("option", ["--rows=T1", "--peers=numpy", "--sections=start"])
def test_a_readme_gets_no_part_of_the_table(option, measured, capsys):
    with pytest.raises(SystemExit, match="2"):
        report.main(["--readme", option])
    assert "--readme writes" in capsys.readouterr().err
    assert measured == []


def test_each_section_is_read_with_its_machine(tmp_path, capsys):
    path = tmp_path / "results.json"
    other = FACTS | {"cpu": "Another CPU"}
    sections = {"rows": section(), "formulas": {"machine": other, "quick": True, "result": FORMULAS}}
    path.write_text(json.dumps(sections), encoding="utf-8")
    assert report.main(["--read", str(path)]) == 0
    shown = capsys.readouterr().out
    assert machine.sentence(FACTS) in shown.replace("\n", " ")
    assert machine.sentence(other) in shown.replace("\n", " ")


def test_memory_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(memory, "CLEAR", "/absent/clear_refs")
    with pytest.raises(RuntimeError, match="needs Linux's /absent/clear_refs"):
        memory.measure(Effort(), print)


def test_settings_that_slow_a_library_down_are_told(monkeypatch):
    for name in ("ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES", "KMP_BLOCKTIME", "KMP_INIT_AT_FORK"):
        monkeypatch.setenv(name, "1")
    told = machine.describe()["settings"]
    assert {"ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES", "KMP_BLOCKTIME"} <= told.keys()
    assert "KMP_INIT_AT_FORK" not in told  # scikit-learn's own


class Losses(Job):
    """A job that comes to given losses."""

    def __init__(self, values):
        self.values = values

    def run(self):
        """Return them."""
        return self.values

    def outcome(self, returned):
        """Return them."""
        return Outcome.of(returned.mean(), returned)


def test_networks_that_come_to_something_else_are_noticed_though_most_do_not():
    right = np.random.default_rng(0).uniform(0.1, 0.5, 4096)
    wrong = right.copy()
    wrong[:40] *= 3  # as ReLUs on the other side of zero may
    assert populations._agree(Losses(right), Losses(wrong)) == pytest.approx(2 / 3)
    wrong[:2000] *= 3
    with pytest.raises(RuntimeError, match=r"of 48\.8% of the networks"):
        populations._agree(Losses(right), Losses(wrong))
    wrong = right.copy()
    wrong[:100] = np.nan
    with pytest.raises(RuntimeError, match=r"of 2\.4% of the networks"):
        populations._agree(Losses(right), Losses(wrong))


@pytest.mark.parametrize("jax", [{"jax": 30.0}, {"jax": 30.0, "jax compiling": 14.0}], ids=["of before", "measured"])
def test_jax_on_the_grid_is_shown_with_and_without_compiling(jax):
    lines = list(populations._grid_peers({"seconds": 4.0, "sklearn": 300.0} | jax))
    assert [label for label, *_ in lines] == ["scikit-learn", "JAX, compiling", "JAX, compiled"][: 1 + len(jax)]
    assert [seconds for _, seconds, _ in lines] == [300.0, 30.0, 16.0][: 1 + len(jax)]


def test_jax_trains_on_the_rows_that_fill_no_minibatch_too():
    jax = pytest.importorskip("jax")
    from .peers import jax_

    w = replace(WORKLOADS["T2"], rows=20, batch=8, epochs=3)
    data, params = make_data(w), make_params(w)
    net = fm.MLP(list(w.widths), activation=w.activation, output=w.output, dtype=w.dtype)
    net.params = params
    history = net.fit(data.x, data.y, epochs=3, batch_size=8, optimizer=fm.Adam(w.lr), shuffle=False, progress=False)
    job = jax_.Training(replace(w, rows=16), type(data)(data.x[:16], data.y[:16]), params, 1)
    job.reset()
    rest = jax.device_put((data.x[16:], data.y[16:]))
    (trained, _), losses = jax_.train(w, 1, job.carry, job.x, job.y, rest)
    np.testing.assert_allclose(losses, history.loss, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained)]), net.params, atol=1e-5)


@pytest.mark.parametrize("name", ["I1", "I3"])
def test_onnx_runtime_with_bound_arrays_comes_to_the_same(name):
    peer = PEERS["onnxruntime"]
    if peer.missing():
        pytest.skip(peer.missing())
    assert {"threads": 1, "bound": True} in peer.settings(WORKLOADS[name])
    Judge(WORKLOADS[name]).check(peer, threads=1, bound=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_numpy_s_functions_are_the_same_as_ours(name, dtype):
    values = [functions.call(library, name, dtype)[2] for library in ("fastmlp", "numpy")]
    np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-7)


def test_pytorch_s_widths_are_timed_beside_ours(monkeypatch):
    peer = Peer("torch", "PyTorch", (), ())
    monkeypatch.setattr(peer.__class__, "prepare", lambda *args, **variant: Counting())
    monkeypatch.setitem(widths.PEERS, "torch", peer)
    monkeypatch.setattr(widths, "job", lambda workload: Counting())
    monkeypatch.setattr(widths, "_scan", lambda *args: ({str(w): 2.0 for w in widths.WIDTHS}, {}))
    monkeypatch.setattr(widths, "paired", lambda ours, theirs, effort: Pairs(ours=[1.0], theirs=[3.0]))
    result = widths.measure(Effort(turn=1e-6), lambda line: None)
    assert result["times ours"] == {str(w): 3.0 for w in widths.PEER_WIDTHS}
    assert result["PyTorch"] == {str(w): 6.0 for w in widths.PEER_WIDTHS}


@pytest.mark.parametrize(("option", "known"), [("--rows", "T1"), ("--peers", "numpy"), ("--sections", "rows")])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(option, known, capsys):
    with pytest.raises(SystemExit, match="2"):
        report.main([option, "nonsense"])
    assert known in capsys.readouterr().err


def test_a_missing_peer_is_skipped_with_one_line():
    reason = Peer("absent", "Absent", ("no_such_package",), ()).missing()
    assert "no_such_package is not installed" in reason
    assert "\n" not in reason


def test_the_products_of_versions_are_a_layer_s():
    here = versions.products(versions.load(Path(__file__).parents[1], "kernels_tested"))
    m, k, n = 20, 18, 33
    forward, delta, gradient = versions.operands(m, k, n)
    for product, args in zip(here, (forward, delta, gradient), strict=True):
        product(2, *args)
    x, w, z, bias = forward[3], forward[5], forward[7], forward[9]
    d, dx, dw = delta[3], delta[7], gradient[7]
    np.testing.assert_allclose(z[:, :n], np.maximum(x[:, :k] @ w + bias, 0.0), atol=1e-4)
    np.testing.assert_allclose(dx[:, :k], d[:, :n] @ w.T, atol=1e-4)
    np.testing.assert_allclose(dw, x[:, :k].T @ d[:, :n], atol=1e-4)


@pytest.mark.parametrize("dtype", versions.DTYPES)
def test_the_smaller_kernels_of_versions(dtype):
    kernels = versions.parts(versions.load(Path(__file__).parents[1], "kernels_tested"))
    numpys = {
        "exp": np.exp,
        "tanh": np.tanh,
        "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
        "columns": lambda x: x.T,
        "sums": lambda a, d: a @ d.T,
    }
    for kind, *shapes, made in versions.PARTS.values():
        args, out = [versions.normal(shape, dtype) for shape in shapes], np.zeros(made, dtype)
        kernels[kind](1, *args, out)
        expected = numpys[kind](*args)
        part = out[: len(expected), : expected.shape[1]] if out.ndim == 2 else out
        np.testing.assert_allclose(part, expected, atol=1e-4)


def test_versions_wants_the_folder_of_a_checkout(tmp_path):
    with pytest.raises(SystemExit, match="has no folder kernels"):
        versions.load(tmp_path, "kernels_missing")


def test_a_section_begins_on_all_threads(monkeypatch):
    """The memory section leaves one, on which populations were measured after it."""
    seen = []
    monkeypatch.setattr(scans, "measure", lambda name, effort, say: seen.append(fm.engine.threads()))
    fm.set_threads(1)
    report._measure_section("populations", argparse.Namespace(quick=True), print)
    assert seen == [CORES]
