"""What the importer refuses, and that it says where, why, and what to do."""

import contextlib
import lzma

import numpy as np
import onnx
import pytest

from gen.errors import UserError
from gen.importers.qonnx import load
from tests.graphs import END, START, annotate, bipolar, chain, imported, node, quant, signs
from tests.random_networks import random_network


def _dense(weights):
    return (*START, node("Flatten"), node("MatMul", weights))


# Chains that are refused, and what the message has to say.
REFUSED = {
    "unsupported": (
        (*START, node("Softmax"), node("Gelu"), *END),
        r"Softmax \(Softmax_3\), Gelu \(Gelu_4\).*Supported.*Conv",
    ),
    "not monotone": (
        (*START, node("Conv", signs(2, 2, 1, 1)), node("Pow", 2.0), node("Sub", 1.0), bipolar(), *END),
        r"BipolarQuant_6 .*channel 0 both rises and falls",
    ),
    "float weights": (_dense(np.random.default_rng(0).normal(size=(60, 3))), r"MatMul_4 .*not quantised"),
    "wide weights": (_dense(signs(60, 3) * np.arange(180).reshape(60, 3)), r"MatMul_4 .*not quantised"),
    "weights are nan": (_dense(signs(60, 3) * np.nan), "MatMul_4 .*not finite"),
    "weight scale differs inside": (
        (*START, node("Conv", np.array([[[[0.3]], [[0.7654321]]]]))),
        "Conv_3 .*not quantised",
    ),
    "features do not fit": (_dense(signs(59, 3)), r"MatMul_4 .*59 features do not fit 60"),
    "channels do not fit": (
        (*START, node("Conv", signs(3, 5, 1, 1))),
        r"Conv_3 .*\(3, 5, 1, 1\) do not fit 2",
    ),
    "reshape does not fit": ((*START, node("Reshape", [1, 7])), r"Reshape_3 .*7"),
    "window does not fit": ((*START, node("Conv", signs(3, 2, 7, 1))), r"Conv_3 .*does not fit"),
    "pool does not fit": ((*START, node("MaxPool", kernel_shape=[9, 1])), r"MaxPool_3 .*does not fit"),
    "dilated": ((*START, node("Conv", signs(3, 2, 2, 2), dilations=[2, 2])), r"Conv_3 .*dilated"),
    "grouped": ((*START, node("Conv", signs(2, 1, 2, 2), group=2)), r"Conv_3 .*group"),
    "one dimension": ((*START, node("Conv", signs(2, 2, 3))), r"Conv_3 .*do not fit"),
    "channel scales": (
        (*START, node("Mul", np.array([[[0.3]], [[np.pi]]])), node("Conv", signs(2, 2, 1, 1))),
        r"Conv_4 .*scales or offsets differ between channels",
    ),
    "quantiser scales": (
        (*START, bipolar(np.array([[[0.3]], [[0.7]]])), *END),
        r"BipolarQuant_3 .*differ between channels",
    ),
    "no quantiser": (
        (*_dense(signs(60, 3)), node("Relu"), node("Add", 0.1234), node("MatMul", signs(3, 3))),
        r"MatMul_7 .*no quantiser",
    ),
    "wide activations": ((*START, quant(1.0, 17), *END), r"Quant_3 .*bit width"),
    "crooked activations": (
        (*START, node("Conv", signs(2, 2, 3, 3)), node("Relu"), node("Pow", 2.0), quant(2.0**-7, 16), *END),
        r"Quant_6 .*channel 0 is no straight line",
    ),
    "fractional zero point": ((*START, quant(1.0, 4, zero=0.5), *END), r"Quant_3 .*zero point"),
    "negative scale": ((*START, bipolar(-1.0), *END), r"BipolarQuant_3 .*positive"),
    "rounding": ((*START, quant(0.5, 3, rounding_mode="ODD"), *END), r"Quant_3 .*ODD"),
    "infinite parameter": ((*START, node("Mul", np.inf), *END), r"Mul_3 .*not a finite number"),
    "division by zero": ((*START, node("Div", 0.0), *END), r"Div_3 .*not a finite number"),
    "negative variance": (
        (*START, node("BatchNormalization", *np.ones((3, 2)), -np.ones(2)), bipolar(), *END),
        r"BatchNormalization_3 .*not a finite number",
    ),
    "pad before a maximum": (
        (*START, node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], 0.0), node("MaxPool", kernel_shape=[2, 2])),
        r"MaxPool_4 .*win a maximum",
    ),
    "pad before a quantiser": (
        (*START, node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], 0.0), bipolar()),
        r"follows a Pad node",
    ),
    "pad off the grid": (
        (*START, node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], 0.5), node("Conv", signs(2, 2, 2, 2))),
        r"Conv_4 .*no multiple",
    ),
    "pad twice": (
        (
            *START,
            node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], 1.0),
            node("Conv", signs(2, 2, 2, 2), pads=[1, 1, 1, 1]),
        ),
        r"Conv_4 .*only one value",
    ),
    "pad channels": ((*START, node("Pad", [0, 1, 0, 0, 0, 0, 0, 0], 0.0), *END), r"Pad_3 .*height and width"),
    "pad by reflection": (
        (*START, node("Pad", [0, 0, 1, 1, 0, 0, 1, 1], 0.0, mode="reflect"), *END),
        r"Pad_3 .*reflect",
    ),
    "border averages": (
        (*START, node("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 0, 0]), *END),
        "count_include_pad",
    ),
    "average of a curve": (
        (*START, node("Conv", signs(3, 2, 1, 1)), node("Relu"), node("GlobalAveragePool")),
        r"GlobalAveragePool_5 .*Quant",
    ),
    "falling maximum": (
        (*START, node("Neg"), node("MaxPool", kernel_shape=[2, 2]), *END),
        r"MaxPool_4 .*fall",
    ),
    "incomparable": (
        (*_dense(signs(60, 3) * [1, np.pi, 3]), node("ArgMax", axis=1)),
        r"ArgMax_5 .*different scale",
    ),
    "incomparable offsets": (
        (*_dense(signs(60, 3)), node("Add", np.arange(3)), node("TopK", [1], axis=1)),
        r"TopK_6 .*different scale or offset",
    ),
    "least": ((*_dense(signs(60, 3)), node("TopK", [1], axis=1, largest=0)), r"TopK_5 .*largest"),
    "too many": ((*_dense(signs(60, 3)), node("TopK", [4], axis=1)), r"TopK_5 .*k=4"),
    "curved scores": ((*_dense(signs(60, 3)), node("Relu")), r"output t5 .*remove"),
    "image of scores": ((*START, node("Conv", signs(3, 2, 1, 1))), r"output t3 .*one score a class"),
    "no layers": ((node("Mul", 2.0),), "one output that depends on the image"),
    "double precision": ((*START, node("Cast", to=7), *END), r"Cast_3 .*float32"),
    "dynamic shape": ((*START, *END), r"fixed sizes", {"shape": (1, 2, "H", "W")}),
    "batch": ((*START, *END), r"batch of 4", {"shape": (4, 2, 6, 5)}),
    "thresholds off the grid": (
        (
            *START,
            node(
                "MultiThreshold",
                np.zeros((1, 1)),
                domain="qonnx.custom_op.general",
                out_scale=1.0,
                out_bias=0.3,
            ),
            *END,
        ),
        r"MultiThreshold_3 .*out_bias 0.3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    nodes, message, *options = REFUSED[name]
    with pytest.raises(UserError, match=f"net.onnx.*{message}"):
        imported(chain(*nodes, **dict(*options)), tmp_path)


def test_weights_that_are_not_of_the_declared_type_are_refused(tmp_path):
    model = annotate(chain(*_dense(np.zeros((60, 3)))), "c3", "BIPOLAR")
    with pytest.raises(UserError, match=r"MatMul_4 .*declared as bipolar, but 180 are not, 0 for one"):
        imported(model, tmp_path)


def test_two_inputs_are_refused(tmp_path):
    model = chain(*START, *END)
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", 1, (1, 3)))
    with pytest.raises(UserError, match=r"this model has 2: image, mask"):
        imported(model, tmp_path)


def test_unknown_tensor_is_refused(tmp_path):
    model = chain(*START, *END)
    model.graph.node[0].input[1] = "nowhere"
    with pytest.raises(UserError, match=r"Mul_0 .*nowhere is not computed"):
        imported(model, tmp_path)


def test_external_data_is_refused_unopened(tmp_path):
    model = chain(*START, *END)
    tensor = model.graph.initializer[-1]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(
        UserError, match=r"net.onnx: tensor c3 is kept in another file, which is never opened"
    ):
        imported(model, tmp_path)


def test_damaged_tensor_is_refused(tmp_path):
    model = chain(*START, *END)
    model.graph.initializer[-1].dims[0] = 1 << 40
    with pytest.raises(UserError, match="tensor c3 is damaged"):
        imported(model, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.onnx", None, "no such file"),
        ("a.onnx", b"", "empty"),
        ("a.onnx", b"\x80\x04cos\nsystem\n", "not an ONNX model"),
        ("a.onnx", b"PK\x03\x04", "not an ONNX model"),
        ("a.onnx.xz", b"no xz", "does not unpack"),
        ("a.onnx.xz", lzma.compress(bytes(1000))[:-20], "cut short"),
        ("a b.onnx", b"", "cannot name a network"),
        ("9.onnx", b"", "cannot name a network"),
        ("a" * 65 + ".onnx", b"", "cannot name a network"),
    ],
)
def test_file_is_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path / name)


def test_every_cut_of_a_file_is_refused(tmp_path):
    content = chain(*START, *END).SerializeToString()
    for length in range(1, len(content) - 40, 37):
        (tmp_path / "cut.onnx").write_bytes(content[:length])
        with pytest.raises(UserError, match=r"cut.onnx"):
            load(tmp_path / "cut.onnx")


@pytest.mark.parametrize("seed", range(100))
def test_damaged_file_is_imported_or_refused(seed, tmp_path):
    rng = np.random.default_rng(seed)
    content = np.frombuffer(random_network(seed)[0].SerializeToString(), np.uint8).copy()
    content[rng.integers(len(content), size=3)] ^= np.uint8(1) << rng.integers(8, size=3, dtype=np.uint8)
    (tmp_path / "net.onnx").write_bytes(content.tobytes())
    with contextlib.suppress(UserError):
        load(tmp_path / "net.onnx")


def test_huge_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("gen.importers.model._MAX_BYTES", 1000)
    (tmp_path / "bomb.onnx.xz").write_bytes(lzma.compress(bytes(100_000)))
    with pytest.raises(UserError, match="more than"):
        load(tmp_path / "bomb.onnx.xz")


def test_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path, "net")
