# amaranth: UnusedElaboratable=no
"""Memories: their contents, how ROMs are kept, and what they take."""

import random

import pytest

from gen import memory_cost
from gen.hw.memory import Rom
from gen.memory_cost import BLOCK, Part, choose, form_cost, forms
from gen.synth import measure

from .roms import Reader, random_words
from .streams import run

# of the weight memories of bvgg16: folded fast, 72 bits a clock come from a block, so that 512 words fill it
DEEP = [(3072, 768), (4096, 576), (2048, 1152), (1024, 2304), (512, 4608), (1536, 1536), (3072, 512)]


def test_block_memories():
    assert memory_cost.rom(36, 512).bram == 0.5
    assert memory_cost.rom(72, 1024).bram == 2
    assert memory_cost.rom(36, 64).bram == 0


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize(("width", "depth"), [(5, 1), (9, 2), (300, 768)])
def test_contents(width, depth, registered):
    words = random_words(width, depth)
    unit = Reader("reader", words, width, registered=registered)
    addresses = [*range(depth), *random.Random(1).choices(range(depth), k=100)]
    assert run(unit, addresses, len(addresses), stall=0.4) == [words[address] for address in addresses]


@pytest.mark.parametrize(("width", "depth"), DEEP)
def test_deep_roms_fill_their_blocks(width, depth):
    (bits,) = (bits for form, _, bits in forms(width, depth) if form == choose(width, depth))
    assert 0.9 * bits <= width * depth <= bits


def test_shallow_roms_are_kept_in_luts():
    assert [choose(768, depth)[0].style for depth in (32, 192, 256, 384)] == ["distributed"] * 3 + ["block"]


@pytest.mark.parametrize("depth", [*range(510, 515), 576, 585, 586, 700, 768, 819, 820, 910, 911, 1152, 2304, 4608])
def test_every_word_is_kept_once(depth):
    width = 70
    words = random_words(width, depth)
    for form, _, bits in forms(width, depth):
        assert sum(part.depth for part in form) == depth
        assert len(form) == 1 or (form[0].depth >= 512 and not form[0].depth & form[0].depth - 1)
        assert bits % (BLOCK // 2) == 0
        for part in form:
            if part.style == "shared":
                columns, kept = part.column(width), sum(word.bit_count() for word in words)
                rows = [part.contents(words, width, array) for array in range(part.arrays)]
                assert {len(array) for array in rows} == {part.rows}
                assert sum(row.bit_count() for array in rows for row in array) == kept
                assert max(row.bit_length() for array in rows for row in array) <= columns


def test_a_form_of_another_depth_is_refused():
    with pytest.raises(ValueError, match="table: 40 words do not fill the form block 32 and distributed 4"):
        Rom(range(40), 6, "table", "table", form=(Part(32, "block"), Part(4, "distributed")))


@pytest.mark.parametrize("registered", [False, True])
def test_prices(registered):
    sizes = [(252, 576), (144, 768), (36, 2304), (72, 4608)]
    priced = [(width, depth, form) for width, depth in sizes for form, *_ in forms(width, depth)
              if form == choose(width, depth) or (depth == 576 and form[-1].style != "distributed")]
    priced += [(40, depth, (Part(depth, "distributed"),)) for depth in (48, 128, 192, 256)]
    readers = [Reader(f"reader{k}", random_words(width, depth), width, form, registered)
               for k, (width, depth, form) in enumerate(priced)]
    for (width, depth, form), found in zip(priced, measure(readers), strict=True):
        expected = form_cost(form, width, registered=registered)
        assert found.bram == expected.bram, (width, depth, form)
        assert abs(found.lut - expected.lut) <= 0.02 * expected.lut + 4, (width, depth, form)  # 4: of the reader
        assert abs(found.ff - expected.ff) <= 0.02 * expected.ff + 2, (width, depth, form)
