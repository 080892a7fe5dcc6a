# amaranth: UnusedElaboratable=no

import random
from collections import Counter

import pytest
from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from gen.hw.svpe.dma import Axi4Read, Reader
from gen.hw.svpe.records import COUNTED, RecordQueue
from gen.hw.svpe.sequencer import Sequencer
from gen.svpe.records import LAYOUTS, Op, Record, pack

from . import streams
from .axi_memory import AxiMemory

BUILD = 0xdeadbeef
BASE = 0x7_0000_0120
PORTS = {Op.LOAD: "load", Op.WEIGHTS: "weights", Op.PASS: "pass_", Op.DRAIN: "drain"}
WORKS = {Op.LOAD: "loads", Op.PASS: "passes", Op.DRAIN: "drains"}


class Machine(wiring.Component):
    """A sequencer and the reader of its program."""

    def __init__(self, depth=4):
        self.sequencer, self.reader = Sequencer(BUILD, depth=depth), Reader(burst=16, depth=64)
        super().__init__({"axi": Out(Axi4Read())})

    def elaborate(self, platform):
        m = Module()

        m.submodules.sequencer, m.submodules.reader = sequencer, reader = self.sequencer, self.reader
        connect(m, sequencer.command, reader.command)
        connect(m, reader.o, sequencer.i)
        connect(m, reader.axi, flipped(self.axi))
        m.d.comb += [reader.base.eq(BASE), sequencer.bus_error.eq(reader.error)]

        return m


def work(rng, count):
    """Records of random contents, each of which waits for some of those before it, or for nothing."""
    records, before = [], dict.fromkeys(COUNTED, 0)
    for _ in range(count):
        op = rng.choice(list(PORTS))
        fields = {name: rng.getrandbits(bits) for name, bits in LAYOUTS[op]}
        waits = {f"after_{name}": rng.randint(max(0, before[name] - 5), before[name]) for name in COUNTED}
        records.append(Record(op, fields, **waits))
        if op in WORKS:
            before[WORKS[op]] += 1
    return records


def program(records, build=BUILD, count=None):
    """Those records with all that a program needs."""
    records = [*records, Record(Op.END, {})]
    return [Record(Op.HEADER, {"build": build, "records": len(records) + 1 if count is None else count}), *records]


def memory(records, **options):
    content = b"".join(record if isinstance(record, bytes) else record.to_bytes() for record in records)
    words = [int.from_bytes(content[k:k + 16], "little") for k in range(0, len(content), 16)]
    return AxiMemory({BASE // 16 + k: word for k, word in enumerate(words)}, burst=16, **options)


class Units:
    """Stand-ins for the units: take records, work up to ``delay`` cycles on each, and note what was complete when.

    Attributes
    ----------
    completed : dict
        How many LOADs, PASSes and DRAINs are complete.
    taken : dict
        By op, the contents of the records.
    offers : dict
        By op, ``completed`` when a record was first offered.
    """

    def __init__(self, sequencer, delay, seed=0):
        self.sequencer, self.delay, self.rng = sequencer, delay, random.Random(seed)
        self.restart()

    def restart(self):
        """Forget all that happened."""
        self.completed = dict.fromkeys(COUNTED, 0)
        self.taken, self.offers = {op: [] for op in PORTS}, {op: [] for op in PORTS}

    def benches(self):
        return [make(op, getattr(self.sequencer, PORTS[op])) for op in PORTS for make in (self._unit, self._monitor)]

    def _unit(self, op, port):
        done = getattr(self.sequencer, f"{op.name.lower()}_done", None)

        async def bench(ctx):
            while True:
                for _ in range(self.rng.randint(0, self.delay)):
                    await ctx.tick()
                payload = await streams.get(ctx, port)
                self.taken[op].append(payload.as_bits())
                if done is not None:
                    for _ in range(self.rng.randint(0, self.delay)):
                        await ctx.tick()
                    self.completed[WORKS[op]] += 1
                    ctx.set(done, 1)
                    await ctx.tick()
                    ctx.set(done, 0)
        return bench

    def _monitor(self, op, port):
        async def bench(ctx):
            held = None
            while True:
                *_, valid, ready, payload = await ctx.tick().sample(port.valid, port.ready, port.payload)
                if valid and held is None:
                    self.offers[op].append(dict(self.completed))
                assert held is None or (valid and payload == held), "offered payload withdrawn"
                held = payload if valid and not ready else None
        return bench

    def check(self, records):
        """Every record was given to its unit, in order, and not too early."""
        for op in PORTS:
            wanted = [record for record in records if record.op == op]
            assert self.taken[op] == [pack(LAYOUTS[op], record.fields) for record in wanted]
            for record, offer in zip(wanted, self.offers[op], strict=True):
                assert all(getattr(record, f"after_{name}") <= offer[name] for name in COUNTED), "offered too early"


def simulate(script, *, delay=0, limit=20_000, **options):
    """Run ``script(ctx, sequencer, units, store)`` with a machine, units and a memory."""
    machine, store = Machine(), memory([], **options)
    units = Units(machine.sequencer, delay)

    async def bench(ctx):
        await script(ctx, machine.sequencer, units, store)

    streams.simulate(machine, [bench], [store.reads(machine.axi), *units.benches()],
                     progress=lambda: str(units.completed), limit=limit)


async def start(ctx, sequencer, store, contents):
    store.words = memory(contents).words
    ctx.set(sequencer.start, 1)
    await ctx.tick()
    ctx.set(sequencer.start, 0)
    assert ctx.get(sequencer.busy)
    assert not ctx.get(sequencer.done)


def execute(*programs, **options):
    """Run programs one after another; check what every unit was given, and when."""
    async def script(ctx, sequencer, units, store):
        for contents in programs:
            units.restart()
            await start(ctx, sequencer, store, contents)
            while ctx.get(sequencer.busy):
                await ctx.tick()
            assert ctx.get(sequencer.done)
            total = Counter(WORKS.get(record.op) for record in contents)
            assert units.completed == {name: total[name] for name in COUNTED}, "done too early"
            await ctx.tick().repeat(200)  # WEIGHTS, which nothing waits for here
            units.check(contents)
        assert not ctx.get(sequencer.halted)
        assert len(store.bursts) < sum(2 + len(contents) // 8 + 1 for contents in programs), "read too much"

    simulate(script, **options)


def fail(contents, **options):
    """Run a program that must fail; returns the errors, and the records that were taken."""
    seen = {}

    async def script(ctx, sequencer, units, store):
        await start(ctx, sequencer, store, contents)
        while not ctx.get(sequencer.halted):
            await ctx.tick()
        before = {op: len(offers) for op, offers in units.offers.items()}
        await ctx.tick().repeat(300)
        assert all(len(units.offers[op]) <= before[op] + 1 for op in PORTS), "went on"
        assert ctx.get(sequencer.busy)
        assert not ctx.get(sequencer.done)
        errors = {name for name in ("foreign", "invalid") if ctx.get(sequencer.errors[name])}
        seen.update(errors=errors, taken=units.taken)

    simulate(script, **options)
    return seen["errors"], seen["taken"]


@pytest.mark.parametrize("stall", [0, 0.5])
@pytest.mark.parametrize("delay", [0, 3, 30])
def test_programs(delay, stall):
    rng = random.Random(delay)
    execute(*(program(work(rng, count)) for count in (60, 1, 0, 25)), delay=delay, stall=stall)


def test_a_record_in_two_clocks():
    records = [Record(Op.WEIGHTS, {"words": k}) for k in range(300)]
    execute(program(records), limit=2 * 300 + 200 + 60)


def test_passes_wait():
    """What a PASS waits for is told."""
    records = [Record(Op.LOAD, {}), Record(Op.PASS, {}, after_loads=1), Record(Op.PASS, {})]
    told = set()

    async def script(ctx, sequencer, units, store):
        await start(ctx, sequencer, store, program(records))
        while ctx.get(sequencer.busy):
            told.add(ctx.get(sequencer.missing).as_bits())
            await ctx.tick()

    simulate(script, delay=50)
    assert told == {0, 1}


FOREIGN = [program([], build=BUILD + 1), program([], build=BUILD ^ 1 << 31), [Record(Op.END, {})] * 2, [bytes(32)]]


@pytest.mark.parametrize("contents", FOREIGN)
def test_foreign_programs_are_not_begun(contents):
    assert fail([*contents, *work(random.Random(0), 20)]) == ({"foreign"}, {op: [] for op in PORTS})


LOADS = [Record(Op.LOAD, {"target": k}) for k in range(10)]


@pytest.mark.parametrize("contents, before", [
    (program([*LOADS, Record(Op.HEADER, {"build": BUILD}), *LOADS]), 10),
    ([*program([*LOADS, *LOADS])[:11], bytes([7]) * 32, *LOADS], 10),
    (program([*LOADS, Record(Op.END, {}), *LOADS]), 10),  # does not end where it says
    (program(LOADS, count=7), 5),
    (program(LOADS, count=1), 0),
    (program(LOADS, count=0), 0)])
def test_invalid_records_end_it(contents, before):
    errors, taken = fail(contents)
    assert errors == {"invalid"}
    assert taken[Op.LOAD] == [pack(LAYOUTS[Op.LOAD], record.fields) for record in LOADS[:len(taken[Op.LOAD])]]
    assert before - 4 <= len(taken[Op.LOAD]) <= before
    assert not any(taken[op] for op in PORTS if op != Op.LOAD)


def test_errors_of_the_bus_end_it():
    errors, taken = fail(program(LOADS * 10), bad=[BASE // 16 + 2 * 50], delay=10)
    assert not errors
    assert len(taken[Op.LOAD]) < 52


def test_counts_wrap():
    """Records wait for counts modulo 2**16, at most 2**15 ahead or behind."""
    rng, queue = random.Random(5), RecordQueue(Op.WEIGHTS, 4)

    async def bench(ctx):
        for _ in range(300):
            completed = {name: rng.getrandbits(16) for name in COUNTED}
            behind = {name: rng.choice([0, 1, -1, rng.randint(-2 ** 15, 2 ** 15 - 1)]) for name in COUNTED}
            ctx.set(queue.completed, completed)
            waits = {f"after_{name}": (completed[name] - behind[name]) % 2 ** 16 for name in COUNTED}
            await streams.put(ctx, queue.i, {"waits": waits, "fields": {"words": 1}})
            await ctx.tick().repeat(4)
            assert ctx.get(queue.o.valid) == (min(behind.values()) >= 0)
            missing = ctx.get(queue.missing)
            assert [missing[name] for name in COUNTED] == [behind[name] < 0 for name in COUNTED]
            ctx.set(queue.completed, {name: completed[name] - min(0, behind[name]) & 0xffff for name in COUNTED})
            await streams.get(ctx, queue.o)

    streams.simulate(queue, [bench])


class Eager(RecordQueue):
    """Planted: records do not wait."""

    def elaborate(self, platform):
        m = Module()

        m.submodules.queue = queue = RecordQueue(self.op, self.depth)
        connect(m, queue.o, flipped(self.o))
        m.d.comb += [queue.i.p.fields.eq(self.i.p.fields), queue.i.valid.eq(self.i.valid),
                     self.i.ready.eq(queue.i.ready)]

        return m


class Deaf(Sequencer):
    """Planted: it does not wait for drains at the end."""

    def _queued(self, *arguments):
        super()._queued(*arguments)
        return C(1)


def test_records_that_do_not_wait_are_found(monkeypatch):
    monkeypatch.setattr("gen.hw.svpe.sequencer.RecordQueue", Eager)
    with pytest.raises(AssertionError, match="offered too early"):
        execute(program(work(random.Random(1), 60)), delay=10)


def test_an_early_end_is_found(monkeypatch):
    monkeypatch.setattr(f"{__name__}.Sequencer", Deaf)
    with pytest.raises(AssertionError, match="done too early"):
        execute(program(work(random.Random(1), 30)), delay=30)
