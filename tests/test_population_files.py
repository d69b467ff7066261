"""Populations come back from files bit for bit, and nothing else comes back as one."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import safetensors.numpy

import fastmlp as fm
from fastmlp.formats import container

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X[:, :1] * X[:, 1:2]
POPULATIONS = {
    "in lanes": lambda: fm.Population([3, 5, 2], size=19, activation="tanh", seed=4),
    "one by one": lambda: fm.Population([3, 80, 80, 2], seeds=[7, -2, 2**62 + 1], dtype="float64"),
    "dropout of each": lambda: fm.Population([3, (6, False), 2], size=4, dropout=[0.0, 0.1, 0.1, 0.2]),
    "smoothing of each": lambda: fm.Population(
        [3, 4, 2], size=3, output="softmax", loss=fm.losses.CrossEntropy([0.0, 0.1, 0.0])
    ),
    "of several": lambda: fm.Population.of([{"layers": [3, width, 2], "seed": s} for s in range(5) for width in (4, 9, 70)]),
    "initializer": lambda: fm.Population([3, 4, 2], size=3, init=fm.initializers.Normal(0.3)),
}


@pytest.fixture(params=POPULATIONS, ids=list(POPULATIONS))
def population(request):
    return POPULATIONS[request.param]()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "population.safetensors"


def same(a: fm.Population, b: fm.Population) -> bool:
    return all(x.params.tobytes() == y.params.tobytes() and x.spec() == y.spec() for x, y in zip(a, b, strict=True))


def targets(population):
    return np.column_stack([Y, Y]) if population.kind != "classes" else (Y[:, 0] > 0).astype(int)


def test_a_loaded_population_predicts_and_trains_bit_for_bit_the_same(engine, population, path) -> None:
    population.save(path)
    again = fm.Population.load(path)
    assert (again.seeds, again.seed) == (population.seeds, population.seed)
    assert repr(again) == repr(population)
    assert same(again, population)
    assert again.predict(X).tobytes() == population.predict(X).tobytes()
    for one in (population, again):
        one.fit(X, targets(one), epochs=2, batch_size=16, validation=0.2)
    assert same(again, population)
    assert again.history.loss.tobytes() == population.history.loss.tobytes()


def test_a_trained_population_comes_back_as_a_new_one_with_its_parameters(population, path) -> None:
    population.fit(X, targets(population), epochs=2)
    population.save(path)
    again = fm.Population.load(path)
    assert again.history is None
    assert same(again, population)
    assert again.predict(X).tobytes() == population.predict(X).tobytes()
    fresh = fm.Population.of([fm.MLP.from_spec(net.spec()) for net in population], seed=population.seed)
    for one, other in zip(fresh._groups, again._groups, strict=True):
        one.params[...] = other.params
    for one in (fresh, again):
        one.fit(X, targets(one), epochs=2)
    assert same(fresh, again)


def test_a_selection_comes_back(population, path) -> None:
    part = population.select([2, 0])
    part.save(path)
    again = fm.Population.load(path)
    assert again.seeds == part.seeds
    assert same(again, part)
    np.testing.assert_allclose(again.predict(X), part.predict(X), rtol=1e-5)
    if len(part._groups) == 1:
        assert again.predict(X).tobytes() == part.predict(X).tobytes()


def test_other_programs_can_read_the_tensors(path) -> None:
    population = fm.Population.of([{"layers": [3, width, 2], "seed": s} for s, width in enumerate((5, 4, 5))])
    population.save(path)
    tensors = safetensors.numpy.load_file(path)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "0.layers.0.weight": (2, 3, 5), "0.layers.0.bias": (2, 5), "0.layers.1.weight": (2, 5, 2), "0.layers.1.bias": (2, 2),
        "1.layers.0.weight": (1, 3, 4), "1.layers.0.bias": (1, 4), "1.layers.1.weight": (1, 4, 2), "1.layers.1.bias": (1, 2),
    }  # fmt: skip
    assert (tensors["0.layers.0.weight"][1] == population[2].weights[0]).all()


def test_equal_populations_give_equal_files(population, path, tmp_path) -> None:
    population.save(path)
    population.copy().save(tmp_path / "again")
    fm.Population.load(path).save(tmp_path / "loaded")
    assert path.read_bytes() == (tmp_path / "again").read_bytes() == (tmp_path / "loaded").read_bytes()


def test_what_cannot_be_saved_is_refused_and_leaves_the_file(path, monkeypatch) -> None:
    population = fm.Population([3, 2], size=3)
    population.save(path)
    before = path.read_bytes()
    population.params[1, 4] = np.nan
    with pytest.raises(ValueError, match=r"population\[1\]\.params\[4\] is nan: .* Take the others by population\.select"):
        population.save(path)
    monkeypatch.setattr(container, "_LONGEST_HEADER", 100)
    with pytest.raises(ValueError, match=r"the header would have [\d,]+ bytes, .* Save parts of them"):
        population.select([0, 2]).save(path)
    assert path.read_bytes() == before


# ---- files that are no populations


def changed(path, change):
    """Write a population's file with something changed in its architecture."""
    fm.Population.of([{"layers": [3, width, 2], "seed": s} for s, width in enumerate((5, 4, 5))]).save(path)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    spec = json.loads(metadata["fastmlp"])
    del spec["digest"]
    change(spec)
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(content), {"fastmlp": json.dumps(spec)}))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda spec: spec.update(seed=1.5), r"its seeds are 1\.5 and \[0, 1, 2\], not integers"),
        (lambda spec: spec.update(seeds="abc"), "its seeds are 0 and 'abc', not integers"),
        (lambda spec: spec["seeds"].append(True), "its seeds are"),
        (lambda spec: spec.update(kinds=[0, 1]), r"its kinds are \[0, 1\], not the numbers of 2 architectures for 3 seeds"),
        (lambda spec: spec.update(kinds=[0, 0, 0]), "its kinds are"),
        (lambda spec: spec.update(kinds=[0, 2, 1]), "its kinds are"),
        (lambda spec: spec.update(kinds=[0, 1, 1]), r"has shape \[2, 3, 5\], but its architecture says \[1, 3, 5\]"),
        (lambda spec: spec.update(networks=[]), "its networks are not a list of at least one"),
        (lambda spec: spec.update(networks={"a": 1}), "its networks are not a list"),
        (lambda spec: spec.pop("dtype"), "the architecture lacks the key 'dtype'"),
        (lambda spec: spec.update(more=1), "the architecture has the unknown key 'more'"),
        (lambda spec: spec.update(dtype="float64"), "holds 'F32', but its architecture says 'F64'"),
        (lambda spec: spec["networks"][1].update(seed=3), "network 1 has the unknown key 'seed'"),
        (lambda spec: spec["networks"].__setitem__(1, 3), "network 1 is 3, not a JSON object"),
        (lambda spec: spec["networks"][1]["loss"].update(name="mze"), "its architecture is wrong"),
        (lambda spec: spec["networks"][1]["loss"].update(name="poisson"), "its architecture is wrong|do not go together"),
        (lambda spec: spec["networks"][1]["layers"].__setitem__(0, 2**50), "but its architecture says"),
    ],
)
def test_an_architecture_that_is_none(path, change, why) -> None:
    changed(path, lambda spec: None)
    assert len(fm.Population.load(path)) == 3
    changed(path, change)
    with pytest.raises(fm.ModelFileError, match=why) as caught:
        fm.Population.load(path)
    assert len(str(caught.value)) < 600


def test_networks_that_do_not_go_together(path) -> None:
    def classes(spec):
        spec["networks"][1]["layers"][-1]["activation"] = "softmax"
        spec["networks"][1]["loss"] |= {"name": "cross_entropy", "parameter": 0.0}

    changed(path, classes)
    with pytest.raises(fm.ModelFileError, match="its networks do not go together"):
        fm.Population.load(path)


def test_a_file_of_a_network_is_none_of_a_population_and_the_other_way_round(path) -> None:
    fm.MLP([3, 1]).save(path)
    with pytest.raises(fm.ModelFileError, match=r"it holds a single network, which fm\.load reads"):
        fm.Population.load(path)
    fm.Population([3, 1], size=2).save(path)
    with pytest.raises(fm.ModelFileError, match=r"it holds a population, which fm\.Population\.load reads"):
        fm.load(path)


def test_no_flipped_bit_goes_unnoticed(path) -> None:
    population = fm.Population([2, 3, 1], size=2)
    population.save(path)
    content = path.read_bytes()
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            again = fm.Population.load(path)
        except fm.ModelFileError:
            continue
        assert same(again, population)
