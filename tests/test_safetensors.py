"""Networks come back from files bit for bit, and nothing else comes back at all."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import fastmlp as fm
from fastmlp.formats.safetensors import KEY, load, save

NETS = {
    "linear": lambda: fm.MLP([3, 1]),
    "float64": lambda: fm.MLP([3, 5, 2], dtype="float64", seed=7),
    "softmax": lambda: fm.MLP([3, 4, 5], output="softmax", loss=fm.losses.CrossEntropy(label_smoothing=0.1)),
    "mixed": lambda: fm.MLP([3, fm.Dense(4, "tanh", bias=False, dropout=0.25), (2, True, "gelu"), 1], output="sigmoid"),
    "quantile": lambda: fm.MLP([3, 4, 1], loss=fm.losses.Quantile(0.9), seed=-3),
    "initializer": lambda: fm.MLP([3, 4, 1], init=fm.initializers.Normal(0.3)),
    "big seed": lambda: fm.MLP([3, 1], seed=2**62 + 1),
}


@pytest.fixture(params=NETS, ids=list(NETS))
def net(request):
    return NETS[request.param]()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_a_loaded_network_predicts_bit_for_bit_the_same(net, path):
    X = np.random.default_rng(0).normal(size=(17, 3))
    net.save(path)
    again = fm.load(path)
    assert again.predict(X).tobytes() == net.predict(X).tobytes()
    assert again.params.tobytes() == net.params.tobytes()
    assert again.spec() == net.spec()


def test_a_loaded_network_trains_on_like_a_fresh_one_with_its_parameters(path):
    net = fm.MLP([2, 4, 1], seed=3)
    save(net, path)
    X, y = np.random.default_rng(0).normal(size=(2, 20, 2))
    y = y[:, :1]
    again = load(path)
    assert again.fit(X, y, epochs=3, progress=False).loss == net.fit(X, y, epochs=3, progress=False).loss


def test_equal_networks_give_equal_files(net, path, tmp_path):
    save(net, path)
    save(net.copy(), tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_tensors_have_names_and_shapes_that_other_programs_can_read(path):
    save(fm.MLP([3, fm.Dense(4, bias=False), 2]), path)
    tensors = safetensors.numpy.load_file(path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes == {"layers.0.weight": (3, 4), "layers.1.weight": (4, 2), "layers.1.bias": (2,)}


def test_metadata_is_one_key_of_canonical_json(path):
    net = fm.MLP([3, 2])
    save(net, path)
    (text,) = metadata(path.read_bytes()).values()
    digest = json.loads(text)["digest"]
    assert text == json.dumps({"digest": digest, "version": 1, **net.spec()}, sort_keys=True, separators=(",", ":"))


def test_a_function_as_initializer_is_kept_as_auto(path):
    net = fm.MLP([3, 2], init=lambda rng, fan_in, fan_out: np.full((fan_in, fan_out), 0.5))
    save(net, path)
    again = load(path)
    assert again.layers[0].init == "auto"
    assert again.params.tobytes() == net.params.tobytes()


def test_loading_does_not_repeat_the_warning_about_a_poor_pair(path):
    with pytest.warns(fm.PairingWarning, match="learns slowly"):
        net = fm.MLP([2, 1], output="sigmoid", loss="mse")
    save(net, path)
    assert load(path).loss_spec.name == "mse"


def test_a_network_with_nan_is_not_saved(path):
    net = fm.MLP([2, 1])
    net.params[1] = np.nan
    with pytest.raises(ValueError, match=r"net.params\[1\] is nan"):
        save(net, path)
    assert not path.exists()


def test_saving_twice_replaces_the_file_and_leaves_no_other(path, tmp_path):
    save(fm.MLP([2, 1], seed=0), path)
    save(fm.MLP([2, 1], seed=1), path)
    assert load(path).seed == 1
    assert os.listdir(tmp_path) == [path.name]


# ---- files that are no networks


def metadata(content: bytes) -> dict:
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length])["__metadata__"]


def write(path, change=lambda spec: None, tensors=None, net=None, text=None):
    """Write a network's file with something changed in its architecture or its tensors."""
    net = net or fm.MLP([3, 4, 2])
    spec = {"version": 1, **net.spec()}
    change(spec)
    arrays = {f"layers.{i}.weight": w for i, w in enumerate(net.weights)}
    arrays |= {f"layers.{i}.bias": b for i, b in enumerate(net.biases)}
    arrays |= tensors or {}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
    path.write_bytes(safetensors.numpy.save(arrays, {KEY: json.dumps(spec) if text is None else text}))


def refused(path, why):
    with pytest.raises(fm.ModelFileError, match=why) as caught:
        load(path)
    assert isinstance(caught.value, ValueError)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_the_writer_of_these_tests_writes_what_can_be_read(path):
    write(path)
    assert load(path).plan.widths == (3, 4, 2)


def test_a_missing_file(path):
    refused(path, "there is no such file")
    with pytest.raises(FileNotFoundError, match="there is no such file"):  # as others' load functions have it
        load(path)


def test_a_folder(tmp_path):
    refused(tmp_path, "it is a folder")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


def test_a_file_that_may_not_be_read(path, monkeypatch):
    write(path)

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", denied)
    refused(path, r"cannot be read \(Permission denied\)")


@pytest.mark.parametrize("kept", [0, 5, 8, 60, 0.5, 0.9, -1])
def test_a_file_that_is_cut_short(path, kept):
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))] if isinstance(kept, float) else content[:kept])
    refused(path, "too few|cut short")


def test_a_file_that_is_too_long(path):
    write(path)
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "it is too long")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x80\x04K\x01.                ", "not a safetensors file"),
        (b"PK\x03\x04 a zip file, so to speak", "not a safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", "its header would have 9223372036854775808 bytes"),
        (struct.pack("<Q", 4) + b"\xff\xfe{}", "its header is no JSON"),
        (struct.pack("<Q", 2) + b"[]", "its header is no JSON object"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "its header is no JSON"),
        (struct.pack("<Q", 15) + b'{"a":1,"a":NaN}', "its header is no JSON"),
        (struct.pack("<Q", 2) + b"{}", "of another program"),
    ],
    ids=["pickle", "zip", "huge", "not text", "list", "deep", "nan", "empty"],
)
def test_a_file_of_another_kind(path, content, why):
    path.write_bytes(content)
    refused(path, why)


def test_a_safetensors_file_of_another_program(path):
    path.write_bytes(safetensors.numpy.save({"w": np.zeros(3)}, {"format": "pt"}))
    refused(path, "of another program")


@pytest.mark.parametrize("version", [0, 2, "1", None, True, [1]])
def test_another_version_of_the_format(path, version):
    write(path, lambda spec: spec.update(version=version))
    refused(path, "version .* of the format, and this fastmlp reads version 1")


def layer(number, **changes):
    def change(spec):
        spec["layers"][number + 1].update(changes)

    return change


WRONG = {
    "unknown key": (lambda spec: spec.update(code="import os"), "the architecture has the unknown key 'code'"),
    "missing key": (lambda spec: spec.pop("seed"), "the architecture lacks the key 'seed'"),
    "dtype": (lambda spec: spec.update(dtype="float16"), "its dtype is 'float16'"),
    "dtype list": (lambda spec: spec.update(dtype=["float32"]), "its dtype is"),
    "other dtype": (lambda spec: spec.update(dtype="float64"), "holds 'F32', but its architecture says 'F64'"),
    "seed": (lambda spec: spec.update(seed=1.5), "its seed is 1.5, not an integer"),
    "no layers": (lambda spec: spec.update(layers=[]), "its layers are not a list"),
    "inputs": (lambda spec: spec["layers"].__setitem__(0, True), "its layers are not a list"),
    "layer": (lambda spec: spec["layers"].__setitem__(1, 4), "layer 0 is 4, not a JSON object"),
    "layer key": (layer(1, units=3), "layer 1 has the unknown key 'units'"),
    "width": (layer(0, width=4.0), "its layer 0 is wrong"),
    "width 0": (layer(0, width=0), "its layer 0 is wrong"),
    "bias": (layer(0, bias=1), "its layer 0 is wrong .*bias"),
    "activation": (layer(0, activation="rleu"), "its layer 0 is wrong .*rleu"),
    "no activation": (layer(0, activation=None), "layer 0 has the activation None, not a name"),
    "alias": (layer(0, activation="swish"), "says the same thing in two ways"),
    "hidden softmax": (layer(0, activation="softmax"), "its architecture is wrong .*softmax"),
    "dropout": (layer(0, dropout=1.0), "its layer 0 is wrong .*dropout"),
    "output dropout": (layer(1, dropout=0.5), "its architecture is wrong .*dropout"),
    "init": (layer(0, init="os.system"), "its layer 0 is wrong .*os.system"),
    "init key": (layer(0, init={"name": "normal", "std": 1.0, "x": 1}), "its layer 0 is wrong"),
    "loss": (lambda spec: spec.update(loss="mse"), "the loss is 'mse', not a JSON object"),
    "loss name": (lambda spec: spec["loss"].update(name="mes"), "its architecture is wrong .*mes"),
    "loss parameter": (lambda spec: spec["loss"].update(parameter=3.0), "says the same thing in two ways"),
    "loss output": (lambda spec: spec["loss"].update(name="bce"), "its architecture is wrong .*sigmoid"),
    "shape": (layer(0, width=5), r"shape \[3, 4\], but its architecture says \[3, 5\]"),
    "no bias": (layer(0, bias=False), "it has the tensor 'layers.0.bias', which its architecture does not have"),
    "one layer less": (lambda spec: spec["layers"].pop(), "it has the tensor 'layers.1.bias'"),
    "huge": (layer(0, width=2**60), "but its architecture says"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "why"), WRONG.values(), ids=list(WRONG))
def test_an_architecture_that_is_not_one(path, change, why):
    write(path, change)
    refused(path, why)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version":1,"version":1}', '{"version":NaN}', "[" * 100_000],
    ids=["empty", "cut", "list", "twice", "nan", "deep"],
)
def test_an_architecture_that_is_no_json_object(path, text):
    write(path, text=text)
    refused(path, "its architecture is no JSON")


def test_a_huge_architecture_is_refused_before_anything_is_allocated(path):
    def change(spec):
        spec["layers"][0] = 2**50
        spec["layers"][1]["width"] = 2**50

    write(path, change)
    refused(path, "but its architecture says")


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"layers.1.bias": None}, "it lacks the tensor 'layers.1.bias'"),
        ({"extra": np.zeros(1)}, "it has the tensor 'extra'"),
        ({"layers.1.bias": np.zeros(2)}, "holds 'F64', but its architecture says 'F32'"),
        ({"layers.1.bias": np.zeros((1, 2), np.float32)}, r"has shape \[1, 2\], but its architecture says \[2\]"),
        ({"layers.1.bias": np.array([0, np.nan], np.float32)}, "infinite or NaN"),
        ({"layers.0.weight": np.full((3, 4), np.inf, np.float32)}, "infinite or NaN"),
    ],
    ids=["missing", "extra", "dtype", "shape", "nan", "inf"],
)
def test_tensors_that_are_not_the_architectures(path, tensors, why):
    write(path, tensors=tensors)
    refused(path, why)


def test_tensors_that_lie_over_each_other(path):
    write(path)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header["layers.1.bias"]["data_offsets"] = header["layers.0.bias"]["data_offsets"][:1] * 2
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    refused(path, "it is damaged or cut short")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_with_changed_bytes_loads_or_is_refused_and_never_fails_otherwise(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "model"
    write(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        net = load(path)
    except fm.ModelFileError:
        return
    assert np.isfinite(net.params).all()


def test_no_flipped_bit_goes_unnoticed(tmp_path) -> None:
    net = fm.MLP([3, 4, 2], activation="relu", output="softmax", dropout=0.25)
    path = tmp_path / "net.safetensors"
    net.save(path)
    content = path.read_bytes()
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        try:
            again = fm.load(path)
        except fm.ModelFileError:
            continue
        # Only what means the same, such as a space for another blank, may pass.
        assert again.spec() == net.spec()
        np.testing.assert_array_equal(again.params, net.params)
