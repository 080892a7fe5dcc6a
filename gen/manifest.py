"""What a build says of itself: the manifest, and the number that the hardware answers with."""

import hashlib
import json
import platform
from importlib.metadata import version

import boards

from . import __version__
from .hw.registers import OFFSETS
from .network import TopK

__all__ = ["GENERATOR", "build_id", "manifest"]

GENERATOR = f"popweave {__version__}"
TOOLS = ("amaranth", "numpy", "onnx", "pyosys")


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_id(plan, board, source, options):
    """32 bits for the model file and what it was imported with, the foldings, the board, the generator's version."""
    foldings = sorted((name, str(folding)) for name, folding in plan.foldings.items())
    text = json.dumps([GENERATOR, _digest(source), options, board, foldings])
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def _interface(network):
    """What a driver has to know: order and codes of the data, what scores mean, and where registers are."""
    chosen = isinstance(network.layers[-1], TopK)
    meaning = {"meaning": "class numbers, best first"} if chosen else {
        "meaning": "score * scale + offset", "scale": network.scale.tolist(), "offset": network.offset.tolist()}
    return {
        "input": {"shape": list(network.input.shape), "values": str(network.input.values),
                  "order": "row by row, pixel by pixel, channel 0 first; tlast on the last beat of a frame"},
        "output": {"count": network.output.channels, "values": str(network.output.values)} | meaning,
        "registers": OFFSETS,
    }


def manifest(plan, board, source, top, folder, options):
    """Facts about the build of ``plan`` in ``folder``, for JSON; the same input gives the same facts.

    ``options``: what the model was imported with.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "generator": GENERATOR,
        "build_id": f"{build_id(plan, board, source, options):08x}",
        "net": plan.network.name,
        "top": top,
        "source": {"name": source.name, "sha256": _digest(source)},
        "options": options,
        "metadata": plan.network.metadata,
        "board": board,
        "part": boards.part(plan.board),
        "clock_hz": plan.clock_hz,
        "interface": _interface(plan.network),
        "predicted": {
            "by": "cost model",
            "frames_per_second": round(plan.rate, 1),
            "cycles_per_frame": plan.cycles,
            "bottleneck": plan.bottleneck.layer.name,
            "resources": {name: round(amount, 1) for name, amount in plan.cost.items()},
            "layers": [stage.as_dict() for stage in plan.stages],
        },
        "tools": {"python": platform.python_version()} | {name: version(name) for name in TOOLS},
        "files": {path.relative_to(folder).as_posix(): _digest(path) for path in files},
    }
