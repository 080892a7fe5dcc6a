"""Drive and check streams of a component in the Amaranth simulator, under random stalls."""

import contextlib
import random
from itertools import count

from amaranth.sim import Simulator

PERIOD = 1e-8  # seconds

# One-shot `await ctx.tick().sample()` rather than `.until()`: a simulation abandoned inside an
# `.until()` (as after a timeout) is torn down with a RuntimeError in Amaranth 0.5.


async def put(ctx, port, payload):
    """Offer ``payload`` on ``port`` until it is taken."""
    ctx.set(port.payload, payload)
    ctx.set(port.valid, 1)
    taken = False
    while not taken:
        *_, taken = await ctx.tick().sample(port.ready)
    ctx.set(port.valid, 0)


async def get(ctx, port):
    """Take one payload from ``port``."""
    ctx.set(port.ready, 1)
    valid = False
    while not valid:
        *_, valid, payload = await ctx.tick().sample(port.valid, port.payload)
    ctx.set(port.ready, 0)
    return payload


def simulate(dut, benches, background=(), *, progress=lambda: "no", limit=10_000, vcd=None):
    """Run test benches to their end; fail with ``progress()`` when that takes more than ``limit`` cycles."""

    async def watchdog(ctx):
        await ctx.delay(limit * PERIOD)
        raise TimeoutError(f"{progress()} outputs after {limit} cycles")

    sim = Simulator(dut)
    sim.add_clock(PERIOD)
    for bench in benches:
        sim.add_testbench(bench)
    for bench in (*background, watchdog):
        sim.add_testbench(bench, background=True)
    with sim.write_vcd(vcd) if vcd else contextlib.nullcontext():
        sim.run()


def exchange(dut, sources, sinks, *, background=(), stall=0.0, seed=0, limit=10_000, times=None, vcd=None):
    """Feed and drain any number of streams at once.

    Parameters
    ----------
    sources : list of (port, payloads)
        What to feed to which input stream of ``dut``.
    sinks : list of (port, count)
        How many payloads to take from which output stream.
    background : list of test benches
        What else is connected to ``dut``.
    stall : float
        Chance of an idle cycle before each transfer, on every port.
    limit : int
        Cycles after which to give up: the watchdog, and a way to demand a rate.
    times : list, optional
        Is filled with the cycles in which payloads were taken.

    Returns
    -------
    list of lists: the payloads that each sink has received. Fails when the device deadlocks, or drops or
    changes a payload that it has offered.
    """
    rng = random.Random(seed)
    received = [[] for _ in sinks]

    async def idle(ctx):
        while rng.random() < stall:
            await ctx.tick()

    def source(port, payloads):
        async def bench(ctx):
            for payload in payloads:
                await idle(ctx)
                await put(ctx, port, payload)
        return bench

    def sink(port, wanted, taken):
        async def bench(ctx):
            while len(taken) < wanted:
                await idle(ctx)
                taken.append(await get(ctx, port))
        return bench

    def protocol(port):
        async def bench(ctx):
            held = None
            for cycle in count():
                *_, valid, ready, payload = await ctx.tick().sample(port.valid, port.ready, port.payload)
                if times is not None and valid and ready:
                    times.append(cycle)
                assert held is None or (valid and payload == held), "offered payload withdrawn"
                held = payload if valid and not ready else None
        return bench

    def progress():
        return ", ".join(f"{len(taken)} of {count}"
                         for taken, (_, count) in zip(received, sinks, strict=True))

    benches = [source(port, payloads) for port, payloads in sources]
    benches += [sink(port, count, taken) for (port, count), taken in zip(sinks, received, strict=True)]
    protocols = [protocol(port) for port, _ in sinks]
    simulate(dut, benches, [*protocols, *background], progress=progress, limit=limit, vcd=vcd)
    return received


def run(dut, payloads, count, **options):
    """Feed ``payloads`` to ``dut.i``, return the first ``count`` of ``dut.o``: see :func:`exchange`."""
    (received,) = exchange(dut, [(dut.i, payloads)], [(dut.o, count)], **options)
    return received
