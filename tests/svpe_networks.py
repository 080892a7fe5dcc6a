"""Small networks for the array, and whether a program computes what the golden model does."""

import numpy as np

from gen import golden
from gen.bits import BIPOLAR, BYTE, Powers, Values
from gen.network import Add, Concat, Conv, Lookup, Network, Pool, Rescale, Tensor, Threshold, TopK
from gen.svpe.compile import compile
from gen.svpe.model import run
from gen.svpe.records import Op
from gen.svpe.shape import Shape

# In which units may get ahead: nothing but the records' waits keeps them in order.
ORDERS = (), (Op.LOAD, Op.WEIGHTS), (Op.PASS,), (Op.DRAIN, Op.PASS, Op.WEIGHTS)
WIDE = Values(0, 65535)
SMALL = Shape(chains=7, lanes=4, drains=2, chain_words=64, out_depth=96)


class Chain:
    """Grows a chain of layers by random weights; ``at``: the tensor after it."""

    def __init__(self, shape, seed=0, at=None):
        self.rng, self.layers = np.random.default_rng(seed), []
        self.at = at or Tensor(*shape, BYTE)

    def add(self, layer):
        """Append any layer."""
        self.layers.append(layer)
        self.at = layer.output
        return self

    def name(self, kind):
        """A name that no other layer has."""
        return f"{kind}{self.rng.integers(1 << 30)}"

    def lookup(self, values):
        table = self.rng.integers(0, values.levels, (self.at.channels, 256)) * values.step + values.lo
        return self.add(Lookup(self.name("lookup"), self.at, table, values))

    def conv(self, outputs, kernel, stride=1, pads=0, weights=None):
        kernel, stride = (size if isinstance(size, tuple) else (size, size) for size in (kernel, stride))
        pads = pads if isinstance(pads, tuple) else (pads,) * 4
        weights = [0, 1, -1, 2, -2, 4, -4] if weights is None else weights
        found = self.rng.choice(weights, (outputs, self.at.channels, *kernel))
        return self.add(Conv(self.name("conv"), self.at, stride, pads, found, Powers(3)))

    def rescale(self, values=WIDE, falls=False):
        """To ``values``, of which both ends are clipped."""
        reach, shift, size = max(1, -self.at.values.lo, self.at.values.hi), 20, self.at.channels
        largest = max(1, 4 * (values.hi << shift) // reach)
        factor = self.rng.integers(-largest if falls else 0, largest + 1, size).clip(-(1 << 25), 1 << 25)
        addend = self.rng.integers(-values.hi << shift - 3, values.hi << shift - 3, size)
        return self.add(Rescale(self.name("rescale"), self.at, factor, addend, shift, values))

    def threshold(self, values=BIPOLAR, step=7, falls=False):
        """Even steps about the middle."""
        middle = (self.at.values.lo + self.at.values.hi) // 2
        first = self.rng.integers(middle - 10 * step, middle + 10 * step, self.at.channels)
        thresholds = first[:, None] + step * np.arange(values.levels - 1)
        flip = self.rng.random(self.at.channels) < 0.4 * falls
        return self.add(Threshold(self.name("threshold"), self.at, thresholds, flip, values))

    def pool(self, kernel, stride=None, pads=(0, 0, 0, 0), kind="max"):
        stride = stride or kernel
        return self.add(Pool(self.name("pool"), self.at, (stride, stride), pads, (kernel, kernel), kind))

    def branch(self, grow):
        """Layers that ``grow`` appends to a chain that starts here."""
        side = Chain(None, self.rng.integers(1 << 30), self.at)
        grow(side)
        return tuple(side.layers)

    def join(self, kind, factors, *grows):
        kind = {"add": Add, "concat": Concat}[kind]
        return self.add(kind(self.name("join"), self.at, tuple(map(self.branch, grows)), factors))

    def top(self, k):
        return self.add(TopK(self.name("top"), self.at, k))

    def network(self):
        """All of it."""
        return Network("net", tuple(self.layers), np.ones(self.at.channels), np.zeros(self.at.channels))


def agrees(network, shape, orders=ORDERS, seed=0):
    """Whether the program for ``network`` gives the golden model's scores, in whatever order its records allow."""
    image = np.random.default_rng(seed).integers(0, 256, (1, *network.input.shape), np.uint8)
    program, wanted = compile(network, shape), golden.run(network, image)[0]
    memory = program.memory(image[0])
    return all(np.array_equal(program.scores(run(memory, shape, order)), wanted) for order in orders)


def everything():
    """Small, of every kind of layer that the array computes: strides, a residual block, both kinds of pools."""
    chain = Chain((12, 11, 3)).conv(6, 3, pads=1).rescale()
    chain.join("add", (1, 1), lambda side: side.conv(6, 3, pads=1).rescale(Values(-32768, 32767)), lambda side: side)
    chain.rescale().conv(5, 3, pads=1).pool(2).rescale(Values(0, 255))
    chain.conv(9, 3, stride=2, pads=1).rescale(Values(0, 255))
    return chain.pool(3, kind="sum").conv(10, 1).network()
