"""From a trained network to the QONNX file that ships: weights as they are executed, shapes inferred."""

import ast
import copy
import hashlib
import json
import logging
import lzma
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from brevitas.export import export_qonnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.general import GiveReadableTensorNames
from qonnx.util.cleanup import cleanup_model

from train.nets import NETS, binary_layers
from train.quantizers import Real

# Four bytes a weight, of which one bit is news: contexts are the position in the word.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 2, "pb": 2}]


def to_qonnx(model, net, metadata):
    """Export a network of `train.nets` as QONNX.

    The graph takes float images `(1, C, H, W)` in [0, 1] and gives `(1, classes)` scores. Latent
    weights stay behind: initialisers hold +1 and -1, or powers of two. Layers carry the names of `train.nets`.

    Parameters
    ----------
    model : torch.nn.Sequential
        Left as it is.
    net : str
        Its key in `train.nets.NETS`.
    metadata : dict of str to str
        Stored in the file's ``metadata_props``.

    Returns
    -------
    onnx.ModelProto
    """
    model = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format).eval()
    ready = []
    with torch.no_grad():
        for name, layer in binary_layers(model).items():
            if isinstance(layer.weight_quant.tensor_quant, Real):
                ready.append(f"{name}.weight_quant".replace(".body", ""))
            else:
                layer.weight.copy_(torch.where(layer.weight >= 0, 1.0, -1.0))
    height, width, channels = NETS[net].shape
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own, about each other
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        path = Path(folder) / "model.onnx"
        example = torch.zeros(1, channels, height, width)
        export_qonnx(model, args=example, export_path=path, verbose=False)
        wrapper = cleanup_model(ModelWrapper(str(path)))
    _name(wrapper.graph, dict(model.named_modules()))
    _bare(wrapper.graph, ready)
    proto = wrapper.transform(GiveReadableTensorNames()).model
    proto.ir_version = 10  # the newest that every onnxruntime of the last years reads
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, metadata)
    proto.producer_name, proto.producer_version = "popweave", ""
    proto.doc_string = ""
    return proto


def _name(graph, modules):
    """Name every node after the module it came from, and drop the exporter's notes.

    The notes hold the source lines, with their folders, that each node came from.
    """
    taken = set()
    for node in graph.node:
        notes = {prop.key: prop.value for prop in node.metadata_props}
        scopes = ast.literal_eval(notes["pkg.torch.onnx.name_scopes"])
        layers = [s for s in scopes if s in modules and isinstance(modules[s.rpartition(".")[0]], torch.nn.Sequential)]
        name = next((s for s in scopes if s.endswith(".weight_quant")), layers[-1]).replace(".body", "")
        node.name = name if name not in taken else f"{name}_{node.op_type.lower()}"
        taken.add(node.name)
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output,
                 *graph.initializer):  # fmt: skip
        del part.metadata_props[:]
        part.doc_string = ""


def _bare(graph, quantisers):
    """Remove ``quantisers`` of ready weights; they kept the exporter from multiplying BatchNorm into the weights."""
    for quant in [node for node in graph.node if node.name in quantisers]:
        for node in graph.node:
            node.input[:] = [quant.input[0] if name == quant.output[0] else name for name in node.input]
        graph.node.remove(quant)


def to_bytes(proto):
    """Serialise a model: the same model, the same bytes."""
    return proto.SerializeToString(deterministic=True)


def ship(model, net, report, folder):
    """Write ``<net>.onnx.xz`` and ``<net>.json`` into `folder`.

    Parameters
    ----------
    model : torch.nn.Sequential
        What to export.
    net : str
        Its key in `train.nets.NETS`; names the files.
    report : dict
        What the JSON says of the model; ``sha256``, of the uncompressed ONNX file, is added. Of it
        ``dataset``, ``trained``, ``accuracy`` and, as JSON, ``classes`` also go into the model's metadata, unless None.
    folder : path
        Made if missing.

    Returns
    -------
    pathlib.Path
        The compressed model.
    """
    metadata = {key: str(report[key]).lower() for key in ("dataset", "trained", "accuracy") if report[key] is not None}
    if report["classes"] is not None:
        metadata["classes"] = json.dumps(report["classes"])
    data = to_bytes(to_qonnx(model, net, metadata))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{net}.onnx.xz"
    path.write_bytes(lzma.compress(data, filters=_FILTERS))
    report = report | {"sha256": hashlib.sha256(data).hexdigest()}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in report.items())
    (folder / f"{net}.json").write_text(f"{{\n{lines}\n}}\n")
    return path


def unpack(path):
    """Return the ONNX model in an .onnx.xz file, as `onnx.ModelProto`."""
    return onnx.load_from_string(lzma.decompress(Path(path).read_bytes()))
