"""Simulate the array accelerator on images, and compare memory after each with the model and the golden model."""

import json
import pathlib

import numpy as np

from gen import golden
from gen.hw.svpe import dsp
from gen.svpe import model
from gen.svpe.records import Op

from . import simulator

__all__ = ["prepare", "simulate"]


def prepare(program, shape, network, images, folder, *, top, build=0, cycles=1_000_000):
    """Write what :mod:`sim.array_bench` reads to ``folder``: memory before and after each image's run.

    Parameters
    ----------
    program : gen.svpe.compile.Program
    shape : gen.svpe.shape.Shape
    network : gen.network.Network
        What the program computes: its golden model has the last word on what scores have to be.
    images : uint8 array (count, height, width, channels)
    folder : path
    top : str
        Module to simulate.
    build : int
        What the hardware has to call itself.
    cycles : int
        Predicted for a frame; several times as many are waited for.
    """
    before = np.stack([program.memory(image) for image in images])
    after = np.stack([model.run(memory, shape) for memory in before])
    for memory, scores in zip(after, golden.run(network, images), strict=True):
        if not np.array_equal(program.scores(memory), scores):
            raise RuntimeError(f"{network.name}: the program computes other scores than the golden model")
    stores = [(program.layers[owner].name, record.fields["address"])
              for record, owner in zip(program.records, program.owners, strict=True) if record.op == Op.DRAIN]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "memory.npz", before=before, after=after)
    (folder / "bench.json").write_text(json.dumps(
        {"top": top, "build": build, "patience": 20 * cycles, "stores": stores}))


def simulate(rtl, folder, *, only=None, waves=False, tool="verilator"):
    """Run :mod:`sim.array_bench` on the Verilog in ``rtl``; returns what it measured.

    Raises
    ------
    RuntimeError
        A test failed; the bench has printed what and where.
    """
    folder = pathlib.Path(folder).resolve()
    top = json.loads((folder / "bench.json").read_text())["top"]
    simulator.run([*sorted(rtl.glob("*.v")), dsp.MODEL], top, "sim.array_bench", folder, only=only, waves=waves,
                  simulator=tool, environment={"POPWEAVE_BENCH": str(folder)})
    return json.loads((folder / "result.json").read_text())
