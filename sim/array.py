"""Simulate the array accelerator, and compare memory after each run with the model and the golden model."""

import json
import pathlib
from itertools import takewhile

import numpy as np

from gen import golden
from gen.errors import UserError
from gen.network import Conv, Network, Pool, Rescale, Threshold
from gen.svpe import model
from gen.svpe.records import Op

from . import simulator

__all__ = ["one_layer", "prepare", "simulate"]


def one_layer(network, name, images):
    """A layer as a network, with what is drained together with it, and its inputs and outputs for ``images``.

    ``name``: of a convolution, or ``conv3`` for the third one.

    Raises
    ------
    UserError
        There is no such convolution outside of branches; lists those there are.
    """
    names = [layer.name for layer in network.layers if isinstance(layer, Conv)]
    name = {f"conv{number}": found for number, found in enumerate(names, 1)}.get(name, name)
    if name not in names:
        raise UserError(f"{network.name} has no convolution {name!r} outside of branches; there are {', '.join(names)}")
    first, taps = [layer.name for layer in network.layers].index(name), {}
    drained = takewhile(lambda layer: isinstance(layer, Rescale | Threshold | Pool), network.layers[first + 1:])
    layers = network.layers[first], *drained
    golden.run(network, images, taps)
    inputs = taps[network.layers[first - 1].name] if first else images
    plain = np.ones(layers[-1].output.channels)
    return Network(f"{network.name}_{name}", layers, plain, 0 * plain), inputs, taps[layers[-1].name]


def prepare(program, shape, inputs, outputs, folder, *, top, build=0, cycles=1_000_000):
    """Write what :mod:`sim.array_bench` reads to ``folder``: memory before and after each run.

    Parameters
    ----------
    program : gen.svpe.compile.Program
    shape : gen.svpe.shape.Shape
    inputs : int array (count, height, width, channels)
        Images.
    outputs : int array (count, ...)
        What the golden model, which has the last word, says of each.
    folder : path
    top : str
        Module to simulate.
    build : int
        What the hardware has to call itself.
    cycles : int
        Predicted for a frame; several times as many are waited for.
    """
    before = np.stack([program.memory(image) for image in inputs])
    after = np.stack([model.run(memory, shape) for memory in before])
    for memory, scores in zip(after, outputs, strict=True):
        if not np.array_equal(program.scores(memory), scores.reshape(-1)):
            raise RuntimeError("the program computes other scores than the golden model")
    stores = [(program.layers[owner].name, record.fields["address"])
              for record, owner in zip(program.records, program.owners, strict=True) if record.op == Op.DRAIN]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "memory.npz", before=before, after=after)
    (folder / "bench.json").write_text(json.dumps(
        {"top": top, "build": build, "patience": 20 * cycles, "stores": stores}))


def simulate(rtl, folder, *, only=None, waves=False, saif=False, tool="verilator"):
    """Run :mod:`sim.array_bench` on the Verilog in ``rtl``; returns what it measured.

    Raises
    ------
    RuntimeError
        A test failed; the bench has printed what and where.
    """
    folder = pathlib.Path(folder).resolve()
    top = json.loads((folder / "bench.json").read_text())["top"]
    simulator.run(sorted(rtl.glob("*.v")), top, "sim.array_bench", folder, only=only, waves=waves,
                  saif=saif, simulator=tool, environment={"POPWEAVE_BENCH": str(folder)})
    return json.loads((folder / "result.json").read_text())
