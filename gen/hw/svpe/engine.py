# amaranth: UnusedElaboratable=no
"""The array, what feeds it and what empties it, between three memory buses."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from ..units import add_unit
from .accumulate import Accumulators
from .cluster import Cluster
from .dma import ADDRESS_BITS, Axi4, Axi4Read, Reader, Writer, forwarded
from .drain import Drain
from .later import later
from .load import LoadUnit
from .passes import PassUnit
from .registers import ERRORS, EVENTS
from .rows import LATENCY, RowChain
from .sequencer import Sequencer
from .weights import WeightUnit

__all__ = ["Engine"]


class Engine(wiring.Component):
    """Runs programs from memory; has a clock and a reset of its own, for after an error.

    Parameters
    ----------
    shape : gen.svpe.shape.Shape
    build : int
        32 bits that a program must be for.

    Members
    -------
    clock, reset : In(1)
        The reset takes effect a clock late, from a register of its own, as it goes to many places.
    base : In(ADDRESS_BITS)
        Byte address of the program, to which all addresses in it are relative.
    start : In(1)
        Begin, unless busy.
    busy, done : Out(1)
        As of :class:`gen.hw.svpe.sequencer.Sequencer`.
    halted : Out(1)
        There was an error, so that it needs a reset.
    quiet : Out(1)
        No bus has anything under way: when it is high while halted, a reset does no harm.
    errors, events : Out(StructLayout)
        As :class:`gen.hw.svpe.registers.RegisterFile` takes them.
    program, weights : Out(Axi4Read())
    features : Out(Axi4())
        Inputs of layers and their outputs.
    """

    unit_name = "engine"

    def __init__(self, shape, build):
        self.shape, self.build = shape, build
        super().__init__({
            "clock": In(1), "reset": In(1), "base": In(ADDRESS_BITS), "start": In(1), "busy": Out(1), "done": Out(1),
            "halted": Out(1), "quiet": Out(1),
            "errors": Out(data.StructLayout(dict.fromkeys(ERRORS, 1))),
            "events": Out(data.StructLayout(dict.fromkeys(EVENTS, 1))),
            "program": Out(Axi4Read()), "weights": Out(Axi4Read()), "features": Out(Axi4()),
        })

    def elaborate(self, platform):
        m = Module()

        m.domains.outside = outside = ClockDomain(reset_less=True, local=True)
        m.domains.sync = sync = ClockDomain(local=True)
        outside.clk = sync.clk = self.clock
        sync.rst = Signal(name="rst", init=1)
        m.d.outside += sync.rst.eq(self.reset)

        shape = self.shape
        sequencer = add_unit(m, "sequencer", Sequencer(self.build), platform)
        load = add_unit(m, "load", LoadUnit(shape), platform)
        weights = add_unit(m, "weight", WeightUnit(shape), platform)
        passes = add_unit(m, "passes", PassUnit(shape), platform)
        cluster = add_unit(m, "cluster", Cluster(shape), platform)
        accumulators = add_unit(m, "accumulators", Accumulators(shape, cluster.sum_bits), platform)
        drain = add_unit(m, "drain", Drain(shape, accumulators.read_latency), platform)

        for source, sink in ((sequencer.load, load.record), (sequencer.weights, weights.record),
                             (sequencer.pass_, passes.record), (sequencer.drain, drain.i),
                             (weights.o, cluster.weights), (load.parameters, drain.parameters)):
            connect(m, source, sink)
        token = self._chains(m, platform, passes, load, cluster)
        delay = LATENCY + cluster.latency - cluster.skew * shape.chains - accumulators.lead
        m.d.comb += [
            accumulators.token.eq(later(m, token, delay, "token")[-1]), accumulators.sums.eq(cluster.sums),
            accumulators.read_address.eq(drain.read_address), accumulators.read_group.eq(drain.read_group),
            drain.finished.eq(accumulators.finished),
            passes.loaded.eq(cluster.loaded), cluster.start.eq(passes.start),
            sequencer.load_done.eq(load.done), sequencer.pass_done.eq(accumulators.done),
            sequencer.drain_done.eq(drain.done), sequencer.start.eq(self.start),
            self.busy.eq(sequencer.busy), self.done.eq(sequencer.done), self.halted.eq(sequencer.halted),
            self.events.pass_cycles.eq(passes.token.slot), self.events.wait_weights.eq(passes.unloaded),
            self.events.wait_loads.eq(passes.idle & sequencer.missing.loads),
            self.events.wait_drains.eq(passes.idle & sequencer.missing.drains),
            self.events.load_words.eq(load.i.valid & load.i.ready),
            self.events.weight_words.eq(weights.i.valid & weights.i.ready),
            self.events.drain_words.eq(drain.data.valid & drain.data.ready),
        ]
        self._buses(m, platform, sequencer, load, weights, drain)

        return m

    def _chains(self, m, platform, passes, load, cluster):
        """The chains' pixels, each chain's token from the one before; returns the last one's token, a chain later."""
        token, xs, swaps = passes.token, [], []
        for r in range(self.shape.chains):
            chain = add_unit(m, f"chain{r}", RowChain(self.shape, cluster.skew), platform)
            for port, bus in ((chain.write, load.pixels), (chain.config, load.patterns)):
                m.d.comb += [port.en.eq(bus.en[r]), port.address.eq(bus.address), port.data.eq(bus.data)]
            m.d.comb += chain.token.eq(token)
            token = chain.following
            xs.append(chain.x)
            swaps.append(chain.swap)
        m.d.comb += [cluster.x.eq(Cat(xs)), cluster.swap.eq(Cat(swaps))]
        return token

    def _buses(self, m, platform, sequencer, load, weights, drain):
        """Give each unit its master."""
        masters = {}
        for name, unit, port in (("program", sequencer, self.program), ("load", load, self.features),
                                 ("weights", weights, self.weights)):
            masters[name] = reader = add_unit(m, f"{name}_reader", Reader(), platform)
            connect(m, unit.command, reader.command)
            connect(m, reader.o, unit.i)
            m.d.comb += forwarded(reader.axi, port)
        masters["drain"] = writer = add_unit(m, "writer", Writer(), platform)
        connect(m, drain.command, writer.command)
        connect(m, drain.data, writer.data)
        m.d.comb += [*forwarded(writer.axi, self.features), drain.completed.eq(writer.completed)]

        for name, master in masters.items():
            m.d.comb += [master.base.eq(self.base), master.halt.eq(sequencer.halted),
                         self.errors[name].eq(master.error)]
        m.d.comb += [
            self.errors.foreign.eq(sequencer.errors.foreign), self.errors.invalid.eq(sequencer.errors.invalid),
            sequencer.bus_error.eq(Cat(master.error for master in masters.values()).any()),
            self.quiet.eq(Cat(master.idle for master in masters.values()).all()),
        ]
