"""QONNX's own executor, node by node on ONNX Runtime: what the integers have to agree with."""

import warnings
from functools import partial
from unittest import mock

import numpy as np
import qonnx.core.onnx_exec
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.basic import qonnx_make_model

# ONNX Runtime reads older versions of the format only than onnx writes by itself.
_make_model = partial(qonnx_make_model, ir_version=8)


def reference(model, images):
    """Output of ``model``, an onnx.ModelProto, for uint8 images (count, height, width, channels)."""
    wrapper = ModelWrapper(model)
    name = wrapper.graph.input[0].name
    unit = 1 if wrapper.get_tensor_datatype(name).is_integer() else 255
    images = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(unit)
    with warnings.catch_warnings(), mock.patch.object(qonnx.core.onnx_exec, "qonnx_make_model", _make_model):
        warnings.simplefilter("ignore")
        wrapper = wrapper.transform(InferShapes())
        (output,) = qonnx.core.onnx_exec.execute_onnx(wrapper, {name: images}).values()
    return output
