"""Memories: their contents, and what they take."""

from gen import memory_cost


def test_block_memories():
    assert memory_cost.rom(36, 512).bram == 0.5
    assert memory_cost.rom(72, 1024).bram == 2
    assert memory_cost.rom(36, 64).bram == 0
