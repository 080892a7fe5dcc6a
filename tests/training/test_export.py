"""Export: against QONNX's own executor."""

import os

import numpy as np
import onnx
import pytest
import torch

from gen.reference import reference
from train import data, export, loop, nets


def exported(name):
    """Return an untrained network with live, arbitrary BatchNorm, its ONNX model, and images for it."""
    torch.manual_seed(2)
    model = nets.build(name)
    shape = data.DATASETS[nets.NETS[name].dataset].shape
    images = np.random.default_rng(3).integers(0, 256, (60, *shape), np.uint8)
    if os.environ.get("BNN_DATA"):
        images = data.load(nets.NETS[name].dataset, "test")[0][:60]
    loop.calibrate(model, loop.Images.of(images, np.zeros(60, np.int64)), batch=20)
    for norm in model:
        if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) and norm is not model.scores:
            torch.nn.init.uniform_(norm.weight, -1, 1)
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)  # sums equal to their mean would be ties
    return model, export.to_qonnx(model, name, {"dataset": "none"}), images


@pytest.mark.parametrize("name", ["tfc", "tiny"])
def test_export_gives_the_same_scores(tiny, name):
    model, proto, images = exported(name)
    scores = loop.predict(model, loop.Images.of(images, np.zeros(60, np.int64)).pixels).numpy()
    assert len(np.unique(scores)) > 10
    for image, score in zip(images[:4], scores, strict=False):
        assert np.array_equal(reference(proto, image[np.newaxis])[0], score)


def test_export_is_plain(tiny):
    _, proto, _ = exported("tiny")
    onnx.checker.check_model(proto)
    convs = [node for node in proto.graph.node if node.op_type == "Conv"]
    assert [node.name for node in convs] == ["conv1_1", "conv1_2", "conv2_1"]
    for node in convs:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes["pads"] == [1, 1, 1, 1]
    kinds = {node.op_type for node in proto.graph.node}
    assert kinds == {
        "Mul", "Sub", "Add", "Quant", "BipolarQuant", "Conv", "BatchNormalization", "MaxPool",
        "Reshape", "Gemm",
    }  # fmt: skip
    (image,), (scores,) = proto.graph.input, proto.graph.output
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 3, 32, 32]
    assert [d.dim_value for d in scores.type.tensor_type.shape.dim] == [1, 10]
    shaped = {value.name for value in proto.graph.value_info} | {scores.name}
    assert {output for node in proto.graph.node for output in node.output} <= shaped


def test_export_ships_signs_only_and_no_notes(tiny):
    model, proto, _ = exported("tiny")
    values = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    names = [f"{n}.weight_quant_param0" for n, m in model.named_children() if hasattr(m, "weight_quant")]
    for name, weight in zip(names, nets.binary_weights(model), strict=True):
        assert np.array_equal(values[name], np.where(weight.detach() >= 0, 1, -1))
    assert {p.key: p.value for p in proto.metadata_props} == {"dataset": "none"}
    assert b".py" not in export.to_bytes(proto)
    assert export.to_bytes(export.to_qonnx(model, "tiny", {"dataset": "none"})) == export.to_bytes(proto)
