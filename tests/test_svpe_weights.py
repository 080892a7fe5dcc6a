"""Weights from memory words to the words of the array."""

import random

import pytest

from gen.hw.svpe.weights import WeightUnit
from gen.svpe.shape import WORD, Shape

from .streams import exchange

SHAPES = [Shape(chains=2, taps=3, lanes=lanes, bits=bits, drains=1)
          for lanes, bits in ((8, 3), (8, 5), (3, 1), (16, 4))]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sets_come_cell_by_cell_without_their_padding(shape):
    rng, cells = random.Random(1), shape.chains * shape.taps
    sets = [[rng.getrandbits(shape.word_bits) for _ in range(cells)] for _ in range(3)]
    memory = []
    for words in sets:
        whole = sum(word << k * shape.word_bits for k, word in enumerate(words))
        whole |= rng.getrandbits(8) << cells * shape.word_bits  # padding may be anything
        memory += [whole >> k * WORD & (1 << WORD) - 1 for k in range(shape.set_words)]
    unit = WeightUnit(shape)
    records, beats = [{"address": 0x120, "words": len(memory)}], [{"data": word} for word in memory]
    received, commands = exchange(
        unit, [(unit.record, records), (unit.i, beats)],
        [(unit.o, 3 * cells), (unit.command, 1)], stall=0.3)
    assert received == [word for words in sets for word in words]
    assert commands[0].address == 0x120 and commands[0].words == 3 * shape.set_words == len(memory)
