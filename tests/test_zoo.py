"""The networks that ship: small enough, what their reports say, and as good as they say."""

import hashlib
import json
import lzma
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from gen.reference import reference
from train import data

ZOO = Path(data.__file__).parents[1] / "zoo"
NETS = sorted(path.name.removesuffix(".onnx.xz") for path in ZOO.glob("*.onnx.xz"))


def unpacked(net):
    """Return the bytes of a shipped ONNX file, and its report."""
    data = lzma.decompress((ZOO / f"{net}.onnx.xz").read_bytes())
    return data, json.loads((ZOO / f"{net}.json").read_text())


def test_what_ships():
    assert {"bvgg16", "cnv", "tfc"} <= set(NETS)
    assert {path.stem for path in ZOO.glob("*.json")} == set(NETS)


@pytest.mark.parametrize("net", NETS)
def test_file_and_report_agree(net):
    assert (ZOO / f"{net}.onnx.xz").stat().st_size < 4_000_000
    content, report = unpacked(net)
    assert hashlib.sha256(content).hexdigest() == report["sha256"]
    model = onnx.load_from_string(content)
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert metadata["dataset"] == report["dataset"]
    assert metadata["trained"] == str(report["trained"]).lower()
    assert metadata.get("accuracy", "none") == str(report["accuracy"]).lower()
    assert report["net"] == net and report["command"].startswith("python -m train.run --net " + net)


def test_untrained_is_called_so():
    _, report = unpacked("tbqnn")
    assert report["trained"] is False and report["accuracy"] is None


def test_alexnet_is_as_sparse_as_it_says():
    content, report = unpacked("alexnet")
    assert report["trained"] is False and report["recipe"]["dense_inputs"] == 8
    tensors = onnx.load_from_string(content).graph.initializer
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}
    for name, shape in ("dense1", (4096, 9216)), ("dense2", (4096, 4096)), ("dense3", (1000, 4096)):
        inputs = np.count_nonzero(weights[f"{name}_param0"], axis=1)
        assert weights[f"{name}_param0"].shape == shape and 3 <= inputs.min() and inputs.max() == 8


@pytest.mark.parametrize("net", NETS)
def test_weights_are_signs(net):
    content, _ = unpacked(net)
    for tensor in onnx.load_from_string(content).graph.initializer:
        if tensor.name.endswith("weight_quant_param0"):
            assert set(np.unique(onnx.numpy_helper.to_array(tensor))) == {-1, 1}, tensor.name


@pytest.mark.parametrize("net, count", [("tfc", 50), ("cnv", 30), ("bvgg16", 3)])
def test_on_real_images(net, count):
    if not os.environ.get("BNN_DATA"):
        pytest.skip(f"BNN_DATA is not set: {net} not run on real images")
    content, report = unpacked(net)
    images, labels = data.load(report["dataset"], "test")
    model = onnx.load_from_string(content)
    scores = reference(model, images[:count])
    if report["trained"]:
        spread = 3 * (report["accuracy"] * (100 - report["accuracy"]) / count) ** 0.5
        assert 100 * np.mean(scores.argmax(1) == labels[:count]) > report["accuracy"] - spread
    else:
        assert len(np.unique(scores.argmax(1))) > 1
