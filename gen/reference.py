"""The float graph of a model in QONNX's own executor, node by node: what the integers have to agree with."""

import warnings
from functools import partial
from unittest import mock

import numpy as np
from rich.console import Console
from rich.progress import track

from .errors import needs

__all__ = ["reference"]


def reference(model, images):
    """Output of ``model``, an onnx.ModelProto, for uint8 images (count, height, width, channels).

    As many are computed at once as the graph takes.

    Raises
    ------
    UserError
        The executor is not installed.
    """
    with needs("train"):
        import qonnx.core.onnx_exec as executor
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes
        from qonnx.util.basic import qonnx_make_model

    wrapper = ModelWrapper(model)
    (name,) = (item.name for item in wrapper.graph.input if wrapper.get_initializer(item.name) is None)
    batch, *shape = wrapper.get_tensor_shape(name)
    batch = batch or 1  # where it is left open
    wrapper.set_tensor_shape(name, [batch, *shape])
    unit = 1 if wrapper.get_tensor_datatype(name).is_integer() else 255
    images = images.transpose(0, 3, 1, 2).astype(np.float32).reshape(-1, batch, *shape) / np.float32(unit)
    # ONNX Runtime reads older versions of the format only than onnx writes by itself.
    make = partial(qonnx_make_model, ir_version=8)
    with warnings.catch_warnings(), mock.patch.object(executor, "qonnx_make_model", make):
        warnings.simplefilter("ignore")
        wrapper = wrapper.transform(InferShapes())
        batches = track(images, "float graph", disable=not Console().is_terminal, transient=True)
        outputs = [output for values in batches for output in executor.execute_onnx(wrapper, {name: values}).values()]
    return np.concatenate(outputs)
