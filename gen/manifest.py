"""What a build says of itself: the manifest, and the number that the hardware answers with."""

import hashlib
import json
import platform
from importlib.metadata import version

import boards

from . import __version__

__all__ = ["GENERATOR", "build_id", "manifest"]

GENERATOR = f"popweave {__version__}"
TOOLS = ("amaranth", "numpy", "onnx", "pyosys")


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_id(plan, board, source, options):
    """32 bits for the hardware of ``plan`` and the generator's version; ``options``: what was imported with."""
    text = json.dumps([GENERATOR, plan.arch, plan.identity([_digest(source), options, board])])
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def manifest(plan, board, source, top, folder, options):
    """Facts about the build of ``plan`` in ``folder``, for JSON; the same input gives the same facts.

    ``options``: what the model was imported with.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "generator": GENERATOR,
        "build_id": f"{build_id(plan, board, source, options):08x}",
        "net": plan.network.name,
        "arch": plan.arch,
        "top": top,
        "source": {"name": source.name, "sha256": _digest(source)},
        "options": options,
        "metadata": plan.network.metadata,
        "board": board,
        "part": boards.part(plan.board),
        "clock_hz": plan.clock_hz,
        "interface": plan.interface,
        "predicted": {
            "by": "cost model",
            "frames_per_second": round(plan.rate, 1),
            "cycles_per_frame": plan.cycles,
            "bottleneck": plan.bottleneck.name,
            "resources": {name: round(amount, 1) for name, amount in plan.cost.items()},
            "layers": plan.layers,
        },
        "tools": {"python": platform.python_version()} | {name: version(name) for name in TOOLS},
        "files": {path.relative_to(folder).as_posix(): _digest(path) for path in files},
    }
