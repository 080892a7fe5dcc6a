"""Memories by their use: contents from a file, line buffers, small queues.

In Amaranth's simulator these are ordinary memories. While emitting, the platform replaces them by instances of the
Verilog modules in this folder, so that contents stay in ``.mem`` files and vendors' tools infer what they know.
"""

from amaranth.lib import memory

__all__ = ["Queue", "Ram", "Rom", "deep"]

LUT_DEPTH = 64  # words that one LUT6 holds of each bit


def deep(depth):
    """Whether a memory of ``depth`` words belongs into block RAM rather than into LUTs."""
    return depth > LUT_DEPTH


class _Memory(memory.Memory):
    def elaborate(self, platform):
        if hasattr(platform, "instance"):
            return platform.instance(self)
        return super().elaborate(platform)


class Rom(_Memory):
    """Words with one synchronous read port; ``file`` is the stem of the ``.mem`` file they go to."""

    def __init__(self, words, width, file):
        words = list(words)
        words += words[:1] * (len(words) == 1)  # one word alone would leave no address
        self.file = file
        super().__init__(shape=width, depth=len(words), init=words)
        self.read = self.read_port()


class Ram(_Memory):
    """One write port, one synchronous read port; the same word is never read and written at once."""

    def __init__(self, width, depth):
        super().__init__(shape=width, depth=depth, init=[])
        self.write, self.read = self.write_port(), self.read_port()


class Queue(_Memory):
    """One write port, one asynchronous read port: LUT RAM."""

    def __init__(self, width, depth):
        super().__init__(shape=width, depth=depth, init=[])
        self.write, self.read = self.write_port(), self.read_port(domain="comb")
