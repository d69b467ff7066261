"""Films of boundaries: their frames, what they leave of the network, and what stops them."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

import fastmlp as fm
from fastmlp import plots
from fastmlp.plots import animation

SQUARE = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
XOR = np.array([0, 1, 1, 0])
FIT = {"optimizer": fm.Adam(0.05), "batch_size": 2}


def network(seed=0, output="sigmoid"):
    return fm.MLP([2, 4, 1], activation="tanh", output=output, seed=seed)


@pytest.fixture
def titles(monkeypatch):
    """The titles of the frames, which are drawn all the same."""
    seen = []
    draw = animation._draw_frame

    def noted(ax, *rest):
        draw(ax, *rest)
        seen.append(ax.get_title())

    monkeypatch.setattr(animation, "_draw_frame", noted)
    return seen


def film(net, path, y=XOR, **options):
    return plots.boundary_animation(net, SQUARE, y, path, resolution=8, **FIT | options)


def test_frames_are_the_start_every_so_many_epochs_and_the_end(tmp_path, titles):
    net = network()
    first = net.loss(SQUARE, XOR)
    path = tmp_path / "film.gif"
    page = film(net, path, epochs=7, every=3)
    assert page.axes[0].get_title() == titles[-1]
    assert [title.split(",")[0] for title in titles] == ["Epoch 0", "Epoch 3", "Epoch 6", "Epoch 7"]
    assert [title.split(", loss ")[1].split(",")[0] for title in titles] == [
        f"{loss:.3g}" for loss in (first, *(net.history.loss[k] for k in (2, 5, 6)))
    ]
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("L"), int) for frame in ImageSequence.Iterator(image)]
    assert {frame.shape for frame in frames} == {(370, 460)}
    assert len(frames) >= 4
    assert np.abs(frames[0] - frames[-1]).max() > 50
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_is_of_the_whole_figure_that_the_given_axes_are_on(tmp_path, titles):
    page = Figure(figsize=(6, 3), dpi=100, layout="constrained")
    left, right = page.subplots(1, 2)
    left.plot([1, 2, 3])
    right.set_title("what was there")
    assert film(network(), tmp_path / "film.gif", ax=right, epochs=4, every=1) is page
    assert len(titles) == 5
    assert right.get_title() == titles[-1]
    assert len(left.lines) == 1
    assert len(page.axes) == 3, "one colour bar, not one for each frame"
    with Image.open(tmp_path / "film.gif") as image:
        assert image.size == (600, 300)
    page.draw_without_rendering()
    assert right.get_position().width > 0.8 * left.get_position().width, "frames take no room from those that follow"


def test_the_network_is_trained_as_fit_trains_it(tmp_path):
    shown, plain = network(), network()
    film(shown, tmp_path / "film.gif", epochs=5)
    plain.fit(SQUARE, XOR, epochs=5, **FIT)
    np.testing.assert_array_equal(shown.params, plain.params)
    assert shown.history.loss == plain.history.loss


def test_a_second_film_goes_on_counting(tmp_path, titles):
    net = network().copy()
    net.fit(SQUARE, XOR, epochs=4, **FIT)
    film(net, str(tmp_path / "film.gif"), epochs=2)
    assert [title.split(",")[0] for title in titles] == ["Epoch 4", "Epoch 5", "Epoch 6"]


def test_other_callbacks_are_called_and_may_end_the_training(tmp_path, titles):
    class Stop:
        def on_epoch_end(self, net, epoch, logs):
            return epoch == 2

    film(network(), tmp_path / "film.gif", epochs=9, every=2, callbacks=[Stop()])
    assert [title.split(",")[0] for title in titles] == ["Epoch 0", "Epoch 2", "Epoch 3"]


def test_the_last_frame_is_the_network_that_remains(tmp_path, monkeypatch):
    """Early stopping brings back the best epoch's parameters."""
    shown = []
    monkeypatch.setattr(animation, "_draw_frame", lambda ax, net, *rest: shown.append(net.params.copy()))
    net = network()
    film(net, tmp_path / "film.gif", epochs=6, every=1, optimizer=fm.SGD(30.0), early_stopping=fm.EarlyStopping("loss", 1))
    np.testing.assert_array_equal(shown[-1], net.params)


def test_the_last_frame_says_which_epoch_it_is(tmp_path, titles):
    net = network()
    film(net, tmp_path / "film.gif", epochs=30, every=4, optimizer=fm.SGD(30.0), early_stopping=fm.EarlyStopping("loss", 1))
    best = net.history.best_epoch
    assert best + 1 < len(net.history)
    assert titles[-1].startswith(f"Epoch {best + 1:>{len(str(len(net.history)))}}, loss {net.history.loss[best]:.3g}")
    net = network()
    kept = fm.EarlyStopping("loss", 1, restore_best=False)
    film(net, tmp_path / "film.gif", epochs=30, every=4, optimizer=fm.SGD(30.0), early_stopping=kept)
    assert titles[-1].startswith(f"Epoch {len(net.history)}, loss {net.history.loss[-1]:.3g}")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("frame", [0, 1])
@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_an_error_in_a_frame_comes_out_and_leaves_the_older_film(tmp_path, monkeypatch, error, frame, ending):
    if ending == "mp4":
        program = shutil.which("ffmpeg") or pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
        monkeypatch.setitem(matplotlib.rcParams, "animation.ffmpeg_path", program)
    draw, drawn = animation._draw_frame, []

    def interrupted(*rest):
        if len(drawn) == frame:
            raise error("in the midst")
        drawn.append(draw(*rest))

    monkeypatch.setattr(animation, "_draw_frame", interrupted)
    old = tmp_path / f"film.{ending}"
    old.write_text("old")
    with pytest.raises(error, match="in the midst"):
        film(network(), old, epochs=3)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_colours_of_numbers_mean_the_same_in_all_frames(tmp_path, monkeypatch):
    limits = []
    draw = animation._draw_frame

    def noted(ax, *rest):
        draw(ax, *rest)
        limits.append(ax.images[0].get_clim())

    monkeypatch.setattr(animation, "_draw_frame", noted)
    film(network(output="identity"), tmp_path / "film.gif", y=[0.0, 1.5, 3.0, -1.0], epochs=2)
    assert limits == [(-1.0, 3.0)] * 3


def test_a_training_that_diverges_at_once_has_a_film_of_its_start(tmp_path, titles):
    net = network(output="identity")
    with pytest.warns(fm.DivergenceWarning, match="infinite|NaN|finite"):
        film(net, tmp_path / "film.gif", y=[0.0, 1.0, 2.0, 1e3], epochs=3, optimizer=fm.SGD(1e38))
    assert titles[0].startswith("Epoch 0")
    assert len(titles) == 1 + len(net.history)


def test_a_place_that_cannot_be_written_is_refused_before_the_training(tmp_path, monkeypatch):
    def refused(self, *args, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(animation.Path, "touch", refused)  # root may write everywhere
    net = network()
    with pytest.raises(PermissionError, match=r"^\S+film\.gif cannot be written \(Permission denied\)\. Give another place\.$"):
        film(net, tmp_path / "film.gif", epochs=2)
    assert net.history is None


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that takes no files, not even root's")
def test_not_even_where_root_may_not_write(titles):
    net = network()
    with pytest.raises(OSError, match=r"^/proc/film\.gif cannot be written \("):
        film(net, "/proc/film.gif", epochs=2)
    assert net.history is None
    assert titles == []


def test_a_film_for_which_ffmpeg_is_missing(tmp_path):
    net = network()
    with (
        matplotlib.rc_context({"animation.ffmpeg_path": str(tmp_path / "none")}),
        pytest.raises(RuntimeError, match=r"film\.mp4 cannot be written: \.mp4 needs the program ffmpeg"),
    ):
        film(net, tmp_path / "film.mp4")
    assert net.history is None


def test_an_mp4(tmp_path):
    program = shutil.which("ffmpeg")
    if program is None:
        program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    with matplotlib.rc_context({"animation.ffmpeg_path": program}):
        path = tmp_path / "film.mp4"
        film(network(), path, epochs=2)
    assert path.read_bytes()[4:8] == b"ftyp"
    assert path.stat().st_size > 5000


def test_bad_arguments_come_before_the_training(tmp_path):
    net = network()
    before = net.params.copy()
    old = tmp_path / "film.gif"
    old.write_text("old")
    with pytest.raises(ValueError, match=r"name of a film must end in \.gif or \.mp4"):
        film(net, tmp_path / "film.avi")
    with pytest.raises(TypeError, match=r"path must be a path, .*; got 3\. Pass path='moons\.gif'"):
        film(net, 3)
    with pytest.raises(ValueError, match="there is no folder"):
        film(net, tmp_path / "none" / "film.gif")
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(ValueError, match=r"folder\.gif cannot be written: it is a folder"):
        film(net, tmp_path / "folder.gif")
    (tmp_path / "folder.gif").rmdir()
    with pytest.raises(TypeError, match="boundary_animation trains networks; got 'net'"):
        film("net", old)
    with pytest.raises(ValueError, match="the network takes 3 inputs"):
        film(fm.MLP([3, 1]), old)
    with pytest.raises(ValueError, match="every must be"):
        film(net, old, every=0)
    with pytest.raises(ValueError, match="epochs must be"):
        film(net, old, epochs=0)
    with pytest.raises(ValueError, match="y has 2 rows"):
        film(net, old, y=[0, 1])
    with pytest.raises(TypeError, match=r"a callback must have one of the methods.*got 3"):
        film(net, old, callbacks=3)
    with pytest.raises(ValueError, match="batch_size"):
        film(net, old, batch_size=0)
    np.testing.assert_array_equal(net.params, before)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]
