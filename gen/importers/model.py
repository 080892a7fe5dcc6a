"""Read a model file: protobuf in, plain nodes and constants out. No other file is ever opened."""

import lzma
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from ..bits import BIPOLAR, Values
from ..errors import UserError

__all__ = ["MAX_VALUES", "Constant", "Model", "Node", "parse", "read"]

# In one tensor; an 8-megapixel colour image has fewer. Files that ask for more are broken or hostile.
MAX_VALUES = 1 << 26

_MAX_BYTES = 1 << 30
_DOMAINS = {"": "", "ai.onnx": ""} | dict.fromkeys(
    ("onnx.brevitas", "qonnx", "qonnx.custom_op.general", "finn.custom_op.general"), "qonnx"
)


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor known before any image comes.

    Parameters
    ----------
    array : array
        Its value.
    scale : float64 array of the same shape, optional
        What one step of a declared integer type is worth, element by element.
    values : Values, optional
        The declared type: ``array / scale`` is of it.
    origin : str
        The initializer that it comes from.
    """

    array: np.ndarray
    scale: np.ndarray | None = None
    values: Values | None = None
    origin: str = ""

    def rearranged(self, move):
        """The same constant with ``move`` (a transposition, a reshaping) applied to it."""
        scale = None if self.scale is None else move(self.scale)
        return replace(self, array=move(self.array), scale=scale)

    def scaled(self, factor):
        """The same constant times a number."""
        return self.rearranged(lambda array: array * factor)


@dataclass(frozen=True, eq=False)
class Node:
    """One operator of the graph; ``domain`` is "" for ONNX's own and "qonnx" for quantisers."""

    file: Path
    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict

    def error(self, text):
        """Make a UserError that names this node."""
        return UserError(f"{self.file}: node {self.name} ({self.op}): {text}")


@dataclass(frozen=True, eq=False)
class Model:
    """What a file holds: nodes that its outputs depend on, in order of execution."""

    file: Path
    nodes: tuple[Node, ...]
    constants: dict[str, Constant]
    input_name: str
    input_shape: tuple[int, ...]
    input_is_integer: bool
    outputs: tuple[str, ...]
    metadata: dict[str, str]


def read(path):
    """Read ``path``, an ``.onnx`` file or an ``.onnx.xz`` one.

    Returns
    -------
    Model

    Raises
    ------
    UserError
        The file is missing, damaged, too large, no ONNX, or refers to other files.
    """
    path = Path(path)
    proto = parse(path)
    graph = proto.graph
    nodes = _live([_node(path, number, node) for number, node in enumerate(graph.node)], graph)
    types = _declared_types(graph)
    constants = {
        tensor.name: _initializer(path, tensor, types.get(tensor.name)) for tensor in graph.initializer
    }
    name, shape = _image(path, graph, constants)
    return Model(
        path,
        nodes,
        constants,
        name,
        shape,
        types.get(name) in (Values(0, 255), Values(-128, 127)),
        tuple(output.name for output in graph.output),
        {prop.key: prop.value for prop in proto.metadata_props},
    )


def _content(path):
    try:
        opened = lzma.open(path) if path.suffix == ".xz" else path.open("rb")
        with opened as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (lzma.LZMAError, EOFError) as error:
        raise UserError(f"{path}: damaged or cut short, it does not unpack ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > _MAX_BYTES:
        raise UserError(f"{path}: more than {_MAX_BYTES >> 20} MiB; no model that fits a device is as large")
    if not content:
        raise UserError(f"{path}: the file is empty")
    return content


def parse(path):
    """The onnx.ModelProto in ``path``; raises as :func:`read` does, but for what is in the graph."""
    path = Path(path)
    content = _content(path)
    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError:
        raise UserError(
            f"{path}: not an ONNX model, or one cut short ({len(content)} bytes do not parse)"
        ) from None
    if not (proto.graph.node and proto.graph.output and proto.opset_import):
        raise UserError(f"{path}: not an ONNX model, or one cut short (it lacks a graph or a version)")
    if not all(isinstance(text, str) for text in _texts(proto)):
        raise UserError(f"{path}: damaged, it holds names that are not text")
    return proto


def _texts(proto):
    """All names of a model; protobuf leaves them as bytes where they are not UTF-8."""
    graph = proto.graph
    for item in (*graph.initializer, *graph.input, *graph.output):
        yield item.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for prop in proto.metadata_props:
        yield from (prop.key, prop.value)


def _live(nodes, graph):
    """Keep the nodes that outputs depend on."""
    wanted, kept = {output.name for output in graph.output}, []
    for node in reversed(nodes):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _node(path, number, proto):
    name = proto.name or f"{proto.op_type}_{number}"
    attributes = {item.name: _attribute(path, item) for item in proto.attribute}
    domain = _DOMAINS.get(proto.domain, proto.domain)
    return Node(path, name, proto.op_type, domain, tuple(proto.input), tuple(proto.output), attributes)


def _attribute(path, item):
    value = onnx.helper.get_attribute_value(item)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return _array(path, value) if isinstance(value, onnx.TensorProto) else value


def _array(path, tensor):
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise UserError(
            f"{path}: tensor {tensor.name} is kept in another file, which is never opened; "
            "save the model as one file (onnx.save without save_as_external_data)"
        )
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise UserError(f"{path}: tensor {tensor.name} is damaged ({error})") from None


def _initializer(path, tensor, values):
    array = _array(path, tensor)
    scale = None if values is None else np.ones(array.shape)
    return Constant(array, scale, values, tensor.name)


def _declared_types(graph):
    """Integer types that FINN's annotations give to tensors."""
    types = {}
    for annotation in graph.quantization_annotation:
        for item in annotation.quant_parameter_tensor_names:
            values = _type(item.value) if item.key == "finn_datatype" else None
            if values is not None:
                types[annotation.tensor_name] = values
    return types


def _type(name):
    plain = {"BIPOLAR": BIPOLAR, "BINARY": Values(0, 1), "TERNARY": Values(-1, 1)}
    kind = name.rstrip("0123456789")
    if name in plain or kind not in ("INT", "UINT") or kind == name:
        return plain.get(name)
    bits = int(name[len(kind) :])
    if not 1 <= bits <= 32:
        return None
    return Values(0, 2**bits - 1) if kind == "UINT" else Values(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _image(path, graph, constants):
    """Name and shape, batch 1, of the one input that has no value yet."""
    inputs = [item for item in graph.input if item.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs) or "none"
        raise UserError(f"{path}: one input is needed, the image; this model has {len(inputs)}: {names}")
    sizes = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in inputs[0].type.tensor_type.shape.dim
    ]
    batch, *rest = sizes or [0]
    if not 1 <= len(rest) <= 3 or not all(isinstance(size, int) and 0 < size < 1 << 16 for size in rest):
        raise UserError(
            f"{path}: input {inputs[0].name} is {sizes}; fixed sizes are needed, "
            "[1, channels, height, width], only the batch may be left open"
        )
    if math.prod(rest) > MAX_VALUES:
        raise UserError(f"{path}: input {inputs[0].name} is {sizes}, more than {MAX_VALUES:,} values")
    if isinstance(batch, int) and batch > 1:
        raise UserError(
            f"{path}: input {inputs[0].name} is {sizes}, a batch of {batch}; "
            "export it with a batch of 1, or leave the batch open"
        )
    return inputs[0].name, (1, *rest)
