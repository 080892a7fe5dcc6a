# amaranth: UnusedElaboratable=no
"""The network as units, from pixels to scores."""

from dataclasses import replace

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, flipped

from .. import buffers
from .. import network as net
from ..bits import Values
from ..folding import beats, streams, whole_windows
from .branches import Add, Concat, Fork
from .fifo import Fifo
from .lookup import Lookup
from .matrix_unit import MatrixUnit
from .patches import Patches
from .pool import BlockPool, Reduce
from .reorder import Reorder
from .rescale import Rescale
from .stream import Recode, convert
from .threshold import Offset, Threshold, in_totals
from .topk import TopK
from .units import add_unit
from .window import Window

__all__ = ["Core", "Netlist", "stage_units"]


def _pad_code(layer):
    """Code of what lies outside the image; None where it is a third symbol, or there is no outside."""
    values = layer.input.values
    outside = values.lo if layer.kind == "max" else 0 if isinstance(layer, net.Pool) else layer.pad_value
    return int(values.encode(outside)) if outside in values else None


def _conv(stage, folding, taken, rows):
    """Window, matrix unit, and what becomes of its totals, if it does not give activations itself.

    ``taken`` positions come at a time.
    """
    layer, threshold = stage.layer, stage.threshold
    source = wide = layer.input.values
    if layer.padded and layer.pad_value != 0 and layer.pad_value not in source:
        wide = Values(min(source.lo, layer.pad_value), max(source.hi, layer.pad_value))
        layer = replace(layer, input=replace(layer.input, values=wide))
    offset = 1 << wide.bits - 1 if layer.binary and wide.signed else 0
    if offset or wide != source:
        codes = Values(0, (1 << wide.bits) - 1) if offset else wide
        yield f"{layer.name}_recode", Recode(source, codes, folding.simd * taken, offset)
    matrix = MatrixUnit(layer, folding, threshold=threshold if stage.binary else None, file=f"{layer.name}_matrix")
    whole = whole_windows(layer, folding)
    yield f"{layer.name}_window", Window(
        layer, simd=folding.simd, pixels=folding.pixels, taps=1 if whole else folding.taps, given=taken,
        repeat=1 if whole else matrix.folds, rows=rows, pad_code=matrix.pad_code)
    if whole:
        yield f"{layer.name}_patches", Patches(
            matrix.word, taps=folding.taps, pixels=folding.pixels, repeat=matrix.folds)
    yield f"{layer.name}_matrix", matrix
    if stage.binary:
        return
    if folding.pixels > 1:
        yield f"{layer.name}_reorder", Reorder(
            folding.pe * matrix.bits, pixels=folding.pixels, given=1, folds=matrix.folds, interval=matrix.beats)
    yield from _results(layer, threshold, matrix, folding.pe)


def _results(layer, threshold, matrix, pe):
    """What comes after totals: rescaling, thresholds in the totals' own numbers, or dot products."""
    if isinstance(threshold, net.Rescale):
        addend = threshold.addend + matrix.offsets() * threshold.factor
        yield f"{layer.name}_rescale", Rescale(
            threshold.factor * matrix.lane.gain, addend, threshold.shift, source=matrix.total, values=threshold.values,
            lanes=pe, file=f"{layer.name}_rescale")
    elif threshold is None:
        yield f"{layer.name}_offset", Offset(
            matrix.offsets(), matrix.lane.gain, source=matrix.total, values=layer.output.values, lanes=pe,
            file=f"{layer.name}_offset")
    else:
        yield f"{layer.name}_threshold", Threshold(
            in_totals(threshold.thresholds, matrix.lane, layer.weights), threshold.flip, source=matrix.total,
            values=threshold.values, lanes=pe, file=f"{layer.name}_threshold")


def _pool(layer, folding, taken, rows):
    if layer.block:
        yield f"{layer.name}_pool", BlockPool(layer, simd=folding.simd, given=taken)
        return
    window = Window(layer, simd=folding.simd, pixels=folding.pixels, given=taken, pad_code=_pad_code(layer), rows=rows)
    yield f"{layer.name}_window", window
    yield f"{layer.name}_reduce", Reduce(layer, simd=folding.simd, pixels=folding.pixels, flagged=window.flagged)


def stage_units(stage, folding, taken, rows):
    """Units of one stage, by name, of which ``taken`` positions come at a time.

    ``rows`` are those that its window holds, if it has one.
    """
    layer = stage.layer
    match layer:
        case net.Conv():
            yield from _conv(stage, folding, taken, rows)
        case net.Pool():
            yield from _pool(layer, folding, taken, rows)
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


class Netlist:
    """The units of a network, and which stream goes where.

    Parameters
    ----------
    network : gen.network.Network
    foldings : dict of gen.folding.Folding
        By layer name, for every stage.

    Attributes
    ----------
    units : dict
        By name, in the order of the stream, width converters between them included.
    links : list of (stream, stream)
        Where each comes from, and goes to; it comes from None where pixels do.
    outputs : dict
        For each layer that has hardware of its own, by name: the unit whose output is the layer's, and its payloads.
    end : (stream, Payload)
        The scores, and how many a payload has.
    """

    def __init__(self, network, foldings):
        self.units, self.links, self.outputs = {}, [], {}
        flow = streams(network, foldings)
        sizes = buffers.sizes(network, foldings)
        ends = {None: self._fork("input", None, flow.given[None], network.input, flow.consumers[None])}
        for stage in flow.stages:
            name, folding = stage.name, foldings[stage.name]
            inputs = [(next(ends[source]), flow.given[source], tensor)
                      for source, tensor in zip(stage.sources, stage.inputs, strict=True)]
            if stage.joins:
                port = self._join(stage, folding.simd, inputs, sizes.queues[name])
            else:
                ((port, given, tensor),) = inputs
                port = self.convert(name, port, given, folding.simd, tensor)
                port = self._chain(port, stage_units(stage, folding, given.pixels, sizes.rows.get(name)))
            port = self._reordered(stage, folding, flow, port)
            self.outputs[(stage.threshold or stage.layer).name] = list(self.units)[-1], flow.given[stage]
            ends[stage] = self._fork(name, port, flow.given[stage], stage.output, flow.consumers[stage])
        self.end = port, flow.given[stage]

    def _reordered(self, stage, folding, flow, port):
        """Pass on as many positions at a time as what follows takes; returns where they come out."""
        made, given = flow.made[stage], flow.given[stage]
        if made == given:
            return port
        interval = max(1, flow.cycles[stage] // beats(stage.output, made))
        return self._chain(port, [(f"{stage.name}_reorder", Reorder(
            given.channels * stage.output.values.bits, pixels=made.pixels, given=given.pixels,
            folds=stage.output.channels // given.channels, interval=interval))])

    def _chain(self, port, units):
        """Pass the stream from ``port`` through ``units``, (name, unit) each; returns where it comes out."""
        for name, unit in units:
            self.units[name] = unit
            self.links.append((port, unit.i))
            port = unit.o
        return port

    def convert(self, name, port, given, taken, tensor):
        """Pass on ``taken`` channels of ``tensor`` a payload from ``given``; returns where they come out."""
        return self._chain(port, ((f"{name}_{type(unit).__name__.lower()}", unit) for unit in convert(
            tensor.values.bits, given.channels, taken, given.pixels)))

    def _fork(self, name, port, given, tensor, count):
        """Iterator of ``count`` streams of payloads ``given`` from one."""
        ports = [port]
        if count > 1:
            self.units[f"{name}_fork"] = fork = Fork(
                given.channels * given.pixels * tensor.values.bits, count)
            self.links.append((port, fork.i))
            ports = fork.outputs
        return iter(ports)

    def _join(self, stage, taken, inputs, queues):
        """Let ``inputs`` meet, after queues of so many pixels; returns where they come out."""
        layer, sources = stage.layer, [tensor.values for *_, tensor in inputs]
        if isinstance(layer, net.Add):
            kind, unit = "add", Add(sources, layer.factors, values=layer.output.values, lanes=taken)
        else:
            kind, unit = "concat", Concat(sources, layer.factors, [tensor.channels for *_, tensor in inputs],
                                          values=layer.output.values, lanes=taken)
        for k, ((port, given, tensor), pixels) in enumerate(zip(inputs, queues, strict=True)):
            name = f"{stage.name}_branch{k}"
            port = self.convert(name, port, given, taken, tensor)  # while it is another branch's turn
            if pixels:
                fifo = Fifo(taken * tensor.values.bits, pixels * tensor.channels // taken)
                port = self._chain(port, [(f"{name}_fifo", fifo)])
            self.links.append((port, unit.inputs[k]))
        self.units[f"{stage.name}_{kind}"] = unit
        return unit.o


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
        netlist = Netlist(network, foldings)
        self.units, self.links, self.outputs = netlist.units, netlist.links, netlist.outputs
        self.end = netlist.convert("_scores", *netlist.end, 1, network.output)
        (first,) = (sink for source, sink in self.links if source is None)
        super().__init__({
            "i": In(first.signature.flip()),
            "o": Out(stream.Signature(network.output.values.bits)),
        })

    def elaborate(self, platform):
        m = Module()

        for name, unit in self.units.items():
            add_unit(m, name, unit, platform)
        for source, sink in [*self.links, (self.end, flipped(self.o))]:
            wiring.connect(m, flipped(self.i) if source is None else source, sink)

        return m
