"""What passes streams on, splits or joins them costs, and what is around the layers."""

from math import ceil, lcm

from amaranth.utils import ceil_log2

from ..folding import beats
from ..memory_cost import mux, ram
from ..network import Conv, Pool
from ..resources import Resources
from .control import control

__all__ = ["add", "concat", "converters", "fifo", "fork", "reorder", "reordered", "shell", "shuffle_depth", "skid",
           "topk"]


def skid(bits):
    """Two registers between two streams."""
    return Resources(lut=bits + 2, ff=2 * bits + 2)


def converters(bits, given, taken, pixels=1):
    """What turns ``given`` items of ``bits`` of each of ``pixels`` positions into ``taken``, by name of the unit."""
    joined, units = lcm(given, taken), {}
    if joined > given:
        units["gather"] = Resources(lut=4, ff=(2 * joined - given) * bits * pixels + ceil_log2(joined // given) + 2)
    if joined > max(given, taken):
        units["buffer"] = Resources(lut=2, ff=joined * bits * pixels + 1)
    if joined > taken:
        parts = joined // taken
        units["split"] = Resources(lut=taken * bits * pixels * mux(parts) + ceil_log2(parts), ff=ceil_log2(parts))
    return units


def fork(count, bits):
    """What copies a stream of ``bits`` to ``count`` others."""
    return skid(bits) + Resources(lut=2 * count, ff=count)


def fifo(width, depth):
    """A queue of ``depth`` words of ``width`` bits."""
    return ram(width, depth) + Resources(lut=5.1 * ceil_log2(depth + 1), ff=4 * ceil_log2(depth + 1) + 1)


def shuffle_depth(parts, folds, interval):
    """Words in the queue of a reorder unit."""
    return folds + min(folds, ceil((parts - 1) * folds / interval)) + 2


def reordered(width, pixels, given, folds, interval):
    """What gives all channels of ``given`` of ``pixels`` positions after the other, ``width`` bits a position."""
    parts = pixels // given
    depth = shuffle_depth(parts, folds, interval)
    return (ram(pixels * width, depth, registered=False)
            + Resources(lut=given * width * mux(parts), ff=given * width)
            + control("reorder", 1, sum(map(ceil_log2, (depth, depth, depth, folds, folds, parts)))))


def reorder(stage, made, given, cycles):
    """What passes on payloads ``given`` of those that ``stage`` puts out, ``made``, in so many cycles a frame."""
    interval = max(1, cycles // beats(stage.output, made))
    return reordered(made.channels * stage.output.values.bits, made.pixels, given.pixels,
                    stage.output.channels // made.channels, interval)


def add(layer, lanes):
    """What adds the numbers of a layer's branches, ``lanes`` at a time."""
    ranges = layer.multiples
    terms = sum(values.bits for values in ranges[1:])
    return Resources(lut=lanes * (terms + len(ranges) - 1) + 3) + skid(lanes * layer.output.values.bits)


def concat(layer, lanes):
    """What passes on the channels of one branch after the other, ``lanes`` at a time."""
    bits, branches = layer.output.values.bits, len(layer.branches)
    counter = ceil_log2(layer.output.channels // lanes)
    return (Resources(lut=lanes * bits * mux(branches) + 3 * branches + counter, ff=counter + branches)
            + skid(lanes * bits))


def topk(layer):
    """What keeps the numbers of the channels with the best scores."""
    score, number = layer.input.values.bits, ceil_log2(max(2, layer.input.channels))
    return (Resources(ff=layer.k * (score + number) + number)
            + control("topk", 1, score + number, (layer.k - 1) * (score + number)))


def shell(network, bits):
    """AXI interfaces, frame guard and filter, registers; ``bits`` of the ``network``'s input arrive in a beat.

    The filter keeps a verdict for each frame that can be inside: about three for each window or pool.
    """
    verdicts = 2 + 3 * sum(isinstance(layer, Conv | Pool) for layer in network.layers)
    return Resources(lut=240 + bits + 2 * verdicts, ff=525 + 2 * verdicts)
