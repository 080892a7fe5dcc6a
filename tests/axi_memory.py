"""A memory behind AXI4 ports, in the Amaranth simulator: late, stalling, and strict about what it is asked."""

import random
from collections import deque
from itertools import count

__all__ = ["AxiMemory"]

OKAY, SLVERR = 0, 2


def _wires(axi, name):
    return [getattr(axi, name + wire) for wire in ("valid", "ready", "addr", "len", "size", "burst")]


class AxiMemory:
    """Words of 128 bits by number (a sixteenth of their address); what was never written is ``filling(number)``.

    Parameters
    ----------
    words : dict
        Contents.
    stall : float
        Chance of an idle cycle, on each channel.
    latency : int
        Cycles from an address to the first word, or from the last word to the response; with stalls, up to twice that.
    burst : int
        Most words that a burst may have.
    bad : set of int
        Words whose bursts give SLVERR.

    Attributes
    ----------
    bursts : list of (int, int)
        Number of the first word and count of every burst that was asked for.
    responses : int
        Responses to writes that were taken.
    """

    def __init__(self, words=(), *, stall=0.0, latency=10, burst=64, bad=(), seed=0):
        self.words, self.stall, self.latency, self.burst, self.bad = dict(words), stall, latency, burst, set(bad)
        self.rng, self.bursts, self.responses = random.Random(seed), [], 0

    @staticmethod
    def filling(number):
        """What a word contains that was never written."""
        return (number + 1) * 0x9e3779b97f4a7c15f39cc0605cedc835 % 2 ** 128

    def __getitem__(self, number):
        return self.words.get(number, self.filling(number))

    def _go(self):
        return self.rng.random() >= self.stall

    def _due(self, cycle):
        return cycle + self.latency + (self.rng.randint(0, self.latency) if self.stall else 0)

    def _response(self, numbers):
        return SLVERR if self.bad.intersection(numbers) else OKAY

    def _asked(self):
        """Function of the samples of an address channel: the numbers of the words of a burst that has been taken."""
        held = None

        def numbers(valid, ready, address, length, size, burst):
            nonlocal held
            asked = (address, length) if valid else None
            assert held is None or asked == held, "an address was withdrawn or changed"
            held = asked if not ready else None
            if not (valid and ready):
                return range(0)
            assert address % 16 == 0 and (size, burst) == (4, 1)
            assert length < self.burst, f"a burst of {length + 1} words"
            assert address % 4096 + 16 * (length + 1) <= 4096, f"{length + 1} words from {address:x} cross 4 KB"
            self.bursts.append((address // 16, length + 1))
            return range(address // 16, address // 16 + length + 1)

        return numbers

    def reads(self, axi):
        """Test bench that answers the reads of ``axi``; demands that data are taken at once."""
        async def bench(ctx):
            asked, awaited = self._asked(), deque()
            for cycle in count():
                ctx.set(axi.arready, self._go())
                offered = bool(awaited) and awaited[0][0] <= cycle and self._go()
                ctx.set(axi.rvalid, offered)
                if offered:
                    _, number, last = awaited.popleft()
                    ctx.set(axi.rdata, self[number])
                    ctx.set(axi.rlast, last)
                    ctx.set(axi.rresp, self._response([number]))
                _, _, ready, *samples = await ctx.tick().sample(axi.rready, *_wires(axi, "ar"))
                assert ready or not offered, "a word was not taken at once"
                numbers = asked(*samples)
                due = self._due(cycle)
                awaited.extend((due, number, number == numbers[-1]) for number in numbers)
        return bench

    def writes(self, axi):
        """Test bench that answers the writes of ``axi``."""
        async def bench(ctx):
            asked, wanted, data, responses, offered = self._asked(), deque(), deque(), deque(), False
            for cycle in count():
                ctx.set(axi.awready, self._go())
                ctx.set(axi.wready, self._go())
                if not offered and responses and responses[0][0] <= cycle and self._go():
                    ctx.set(axi.bresp, responses.popleft()[1])
                    offered = True
                ctx.set(axi.bvalid, offered)
                _, _, taken, valid, ready, content, strobes, last, *samples = await ctx.tick().sample(
                    axi.bready, axi.wvalid, axi.wready, axi.wdata, axi.wstrb, axi.wlast, *_wires(axi, "aw"))
                if offered and taken:
                    offered, self.responses = False, self.responses + 1
                if numbers := asked(*samples):
                    wanted.append(numbers)
                if valid and ready:
                    assert strobes == 0xffff
                    data.append((content, last))
                if wanted and len(data) >= len(wanted[0]):
                    numbers = wanted.popleft()
                    for number in numbers:
                        self.words[number], last = data.popleft()
                        assert last == (number == numbers[-1])
                    responses.append((self._due(cycle), self._response(numbers)))
        return bench
