# amaranth: UnusedElaboratable=no
"""The network as a chain of units, from pixels to scores."""

from dataclasses import replace

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, flipped

from .. import buffers
from .. import network as net
from ..bits import Values
from ..folding import foldable, lanes
from .lookup import Lookup
from .matrix_unit import MatrixUnit
from .pool import Reduce
from .rescale import Rescale
from .stream import Recode, convert, pipeline
from .threshold import Offset, Threshold, in_totals
from .topk import TopK
from .units import add_unit
from .window import Window

__all__ = ["Core", "stages"]


def _pad_code(layer):
    """Code of what lies outside the image; None where it is a third symbol, or there is no outside."""
    values = layer.input.values
    outside = values.lo if layer.kind == "max" else 0 if isinstance(layer, net.Pool) else layer.pad_value
    return int(values.encode(outside)) if outside in values else None


def _conv(layer, folding, threshold, rows):
    """Window, matrix unit, and thresholds in the matrix unit's own numbers (or dot products, if there are none)."""
    source = layer.input.values
    if layer.padded and layer.pad_value != 0 and layer.pad_value not in source:
        wide = Values(min(source.lo, layer.pad_value), max(source.hi, layer.pad_value))
        layer = replace(layer, input=replace(layer.input, values=wide))
        yield f"{layer.name}_recode", Recode(source, wide, folding.simd)
    matrix = MatrixUnit(layer, pe=folding.pe, simd=folding.simd, pixels=folding.pixels, file=f"{layer.name}_matrix")
    window = Window(layer, simd=folding.simd, pixels=folding.pixels, repeat=matrix.folds, rows=rows,
                    pad_code=None if matrix.flagged else int(layer.input.values.encode(layer.pad_value)))
    yield f"{layer.name}_window", window
    yield f"{layer.name}_matrix", matrix
    if isinstance(threshold, net.Rescale):
        addend = threshold.addend + matrix.offsets() * threshold.factor
        yield f"{layer.name}_rescale", Rescale(
            threshold.factor * matrix.lane.gain, addend, threshold.shift, source=matrix.total, values=threshold.values,
            lanes=folding.pe, file=f"{layer.name}_rescale")
    elif threshold is None:
        yield f"{layer.name}_offset", Offset(
            matrix.offsets(), matrix.lane.gain, source=matrix.total, values=layer.output.values, lanes=folding.pe,
            file=f"{layer.name}_offset")
    else:
        yield f"{layer.name}_threshold", Threshold(
            in_totals(threshold.thresholds, matrix.lane, layer.weights), threshold.flip, source=matrix.total,
            values=threshold.values, lanes=folding.pe, file=f"{layer.name}_threshold")


def _pool(layer, folding, rows):
    code = _pad_code(layer)
    window = Window(layer, simd=folding.simd, pad_code=code, rows=rows)
    yield f"{layer.name}_window", window
    yield f"{layer.name}_reduce", Reduce(layer, simd=folding.simd, flagged=window.flagged)


def _units(layer, folding, threshold, rows):
    """Units of one layer, by name; ``threshold`` is the layer right after a convolution, if it is one.

    ``rows`` are those that its window holds, if it has one.
    """
    match layer:
        case net.Conv():
            yield from _conv(layer, folding, threshold, rows)
        case net.Pool():
            yield from _pool(layer, folding, rows)
        case net.Lookup():
            yield f"{layer.name}_lookup", Lookup(layer, simd=folding.simd, file=f"{layer.name}_lookup")
        case net.Threshold():
            yield f"{layer.name}_threshold", Threshold(
                layer.thresholds, layer.flip, source=layer.input.values, values=layer.values, lanes=folding.simd,
                file=f"{layer.name}_threshold")
        case net.Rescale():
            yield f"{layer.name}_rescale", Rescale(
                layer.factor, layer.addend, layer.shift, source=layer.input.values, values=layer.values,
                lanes=folding.simd, file=f"{layer.name}_rescale")
        case net.TopK():
            values = layer.input.values
            yield f"{layer.name}_topk", TopK(layer.input.channels, Shape(values.bits, values.signed), layer.k)


def stages(network, foldings):
    """Units of the whole network in the order of the stream, width converters between them included.

    Parameters
    ----------
    network : gen.network.Network
    foldings : dict of gen.folding.Folding
        By layer name, for every layer but :class:`~gen.network.Flatten` and thresholds right after a convolution.

    Returns
    -------
    units : dict
        By name.
    outputs : dict
        For each layer that has hardware of its own, by name: the unit whose output is the layer's, and its lanes.
    """
    units, outputs, given, held = {}, {}, None, buffers.rows(network, foldings)
    for layer, threshold in foldable(network).items():
        folding = foldings[layer.name]
        taken, gives = lanes(layer, folding)
        if given is not None:
            for unit in convert(layer.input.values.bits, given, taken):
                units[f"{layer.name}_{type(unit).__name__.lower()}"] = unit
        given = gives
        units.update(_units(layer, folding, threshold, held.get(layer.name)))
        outputs[(threshold or layer).name] = (list(units)[-1], given)
    return units, outputs


class Core(wiring.Component):
    """The network between two streams.

    Members
    -------
    i : In(stream.Signature(simd * 8))
        Pixels in stream order, as many bytes a payload as the first layer takes.
    o : Out(stream.Signature(bits))
        Scores, or channel numbers, one a payload.
    """

    unit_name = "core"

    def __init__(self, network, foldings):
        self.stages, self.outputs = stages(network, foldings)
        values, last = network.output.values, list(self.stages.values())[-1]
        given = Shape.cast(last.o.p.shape()).width // values.bits
        for unit in convert(values.bits, given, 1):
            self.stages[f"_scores_{type(unit).__name__.lower()}"] = unit
        first = next(iter(self.stages.values()))
        super().__init__({
            "i": In(first.i.signature.flip()),
            "o": Out(stream.Signature(values.bits)),
        })

    def elaborate(self, platform):
        m = Module()

        for name, unit in self.stages.items():
            add_unit(m, name, unit, platform)
        pipeline(m, flipped(self.i), *self.stages.values(), sink=flipped(self.o))

        return m
