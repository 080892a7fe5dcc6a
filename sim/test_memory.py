# amaranth: UnusedElaboratable=no
"""ROMs of every form, as emitted Verilog under cocotb: the words at random addresses."""

import random

import pytest

from gen.memory_cost import Part, choose, forms
from tests.roms import Reader, random_words

from .test_units import QUICK, simulate


def read(width, depth, form, registered, folder):
    words = random_words(width, depth)
    addresses = [*range(depth), *random.Random(depth).choices(range(depth), k=50)]
    unit = Reader("reader", words, width, form, registered)
    simulate(unit, addresses, [words[address] for address in addresses], folder, simulator=QUICK)


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize(("depth", "form"), [(depth, form) for depth in (576, 769) for form, *_ in forms(61, depth)],
                         ids=lambda value: value if isinstance(value, int) else "_".join(map(str, value)))
def test_every_form(depth, form, registered, tmp_path):
    read(61, depth, form, registered, tmp_path)


@pytest.mark.parametrize(("width", "depth"), [
    (3072, 768), (4096, 576), (2048, 1152), (1024, 2304), (512, 4608), (3072, 512), (768, 192)])
def test_real_sizes(width, depth, tmp_path):
    read(width, depth, choose(width, depth), True, tmp_path)


def test_pieces_in_the_wrong_array_are_seen(monkeypatch, tmp_path):
    contents = Part.contents
    monkeypatch.setattr(Part, "contents", lambda part, words, width, array: contents(
        part, words, width, (array + 1) % part.arrays))
    with pytest.raises(SystemExit):
        read(61, 576, (Part(576, "shared", 4, 3),), False, tmp_path)
