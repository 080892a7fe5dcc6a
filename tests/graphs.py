"""Small QONNX models, written as a chain of nodes."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gen.importers.qonnx import load

GENERAL = "qonnx.custom_op.general"


def node(op, *constants, **attributes):
    """One node; the tensor so far is its first input, or takes the place of ``...`` among the constants.

    Texts among them are tensors: ``t3`` comes from the node with the number 3.
    """
    inputs = constants if any(value is ... for value in constants) else (..., *constants)
    return op, inputs, attributes


def bipolar(scale=1.0):
    """Quantise to -1 and +1."""
    return node("BipolarQuant", scale, domain=GENERAL)


def quant(scale, bits, zero=0.0, **attributes):
    """Quantise to integers."""
    return node(
        "Quant",
        scale,
        zero,
        float(bits),
        domain=GENERAL,
        **{"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes,
    )


def signs(*shape, seed=0):
    """Random weights of -1 and +1."""
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def chain(*nodes, shape=(1, 2, 6, 5), output=(1, 3), opset=11):
    """Make a model of ``nodes`` one after the other; constants that are lists become int64 tensors."""
    tensor, made, constants = "image", [], []
    for number, (op, inputs, attributes) in enumerate(nodes):
        names = []
        for value in inputs:
            if value is None or value is ... or isinstance(value, str):
                names.append("" if value is None else tensor if value is ... else value)
                continue
            kind = np.int64 if isinstance(value, list) else np.float32
            names.append(f"c{len(constants)}")
            constants.append(numpy_helper.from_array(np.asarray(value, kind), names[-1]))
        tensor = f"t{number}"
        outputs = ["", tensor] if op == "TopK" else [tensor]
        made.append(helper.make_node(op, names, outputs, f"{op}_{number}", **attributes))
    graph = helper.make_graph(
        made,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, output)],
        constants,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(GENERAL, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def annotate(model, tensor, datatype):
    """Declare the integer type of a tensor as FINN does."""
    annotation = onnx.TensorAnnotation(tensor_name=tensor)
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=datatype)
    model.graph.quantization_annotation.append(annotation)
    return model


def imported(model, tmp_path, name="net"):
    """Import a model by way of a file."""
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(model.SerializeToString())
    return load(path)


# What every chain of these tests can start and end with.
START = (node("Mul", 2.0), node("Sub", 1.0), bipolar())
END = (node("Flatten"), node("MatMul", signs(60, 3)))
