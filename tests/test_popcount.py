# amaranth: UnusedElaboratable=no
"""Popcounts as emitted Verilog: every size that networks use is proven, with the primitives; small ones exhaustively.

The proof goes from level to level: what a level's registers weigh together is what those of the level before weigh.
"""

import contextlib
import pathlib
import re
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from pyosys import libyosys

from gen.bits import BIPOLAR, Values
from gen.hw import popcount
from gen.hw.binary_lane import BinaryLane
from gen.hw.vendor import MODELS

from .netlist import ONES, Netlist, emitted, patterns, unpacked

SIZES = [27, 48, 64, 96, 128, 144, 192, 256, 288, 384, 512, 576, 768, 1152]
MOST = 20  # bits of which all patterns are tried
VERILOG = pathlib.Path(popcount.__file__).parent / "verilog"
XILINX = ["+/xilinx/cells_sim.v"]  # Yosys' own models
RNG = np.random.default_rng(5)


class Wrong(AssertionError):
    """The proof fails."""


def products(netlist, lane):
    """The XNORs that are to be counted: (weight, bit of ``x``, bit of ``w``); no ``w`` where weights are wired."""
    bits, x, w = lane.values.bits, netlist.ports["x"], netlist.ports.get("w")
    return [(1 << bit + lane.halves, x[j * bits + bit], *(w[j:j + 1] if w else []))
            for j in range(lane.simd) for bit in range(bits)]


def stages(netlist, lane):
    """What is added up in each level, (weight, bit) each; the XNORs first, the rows last."""
    rows = [(1 << k, bit) for row in lane.rows for k, bit in enumerate(netlist.ports[row])]
    return [products(netlist, lane), *netlist.levels(r"(?:level(\d+)|last)_(\d+)"), rows]


def components(netlist, source, target):
    """Parts of the logic between two levels that share nothing but weights: (terms, results) of each."""
    terms, shared, parts = defaultdict(list), {term[2] for term in source if len(term) > 2}, []
    for term in source:
        terms[term[1]].append(term)
    for result in target:
        leaves = netlist.cone([netlist.registers.get(result[1], result[1])])[1] - shared
        if leaves - terms.keys():
            raise Wrong("operands from elsewhere than the level before")
        touched = [part for part in parts if part[0] & leaves]
        parts = [part for part in parts if not part[0] & leaves]
        parts.append((leaves.union(*(part[0] for part in touched)), sum((part[1] for part in touched), [result])))
    if unused := terms.keys() - set().union(*(leaves for leaves, _ in parts)) - netlist.fixed.keys():
        raise Wrong(f"{len(unused)} bits are left out")
    return [([term for leaf in leaves for term in terms[leaf]], results) for leaves, results in parts]


def known(netlist, terms):
    """What the constant bits among ``terms`` add up to."""
    return sum(weight for weight, bit in terms if bit in netlist.fixed and int(netlist.fixed[bit]))


def excess(netlist, terms, results, width):
    """How much more ``results`` are than ``terms``, at most; the difference is always that modulo ``2 ** width``."""
    bits = [netlist.registers.get(bit, bit) for _, bit in results]
    gates, _ = netlist.cone(bits)
    leaves = sorted({leaf for _, *operands in terms for leaf in operands})
    if len(leaves) > MOST:
        raise Wrong(f"{len(leaves)} bits are too many to try all patterns")
    values, cases = netlist.compute(gates, dict(zip(leaves, patterns(len(leaves)), strict=True))), 2 ** len(leaves)
    more = sum(weight * unpacked(values[bit], cases) for (weight, _), bit in zip(results, bits, strict=True))
    for weight, x, *w in terms:
        more -= weight * unpacked(~(values[x] ^ values[w[0]]) if w else values[x], cases)
    most = int(more.max())
    if ((more - most) % (1 << width)).any():
        raise Wrong(f"bits of {sorted({weight for weight, *_ in terms})} do not add up")
    return most


def prove(netlist, lane):
    """The rows' sum is the count, for whatever ``x`` and ``w``; ends in :class:`Wrong` where that is not so."""
    levels, width = stages(netlist, lane), len(lane.row0)
    constant = (lane.missing << lane.halves) // 2
    if sum(weight for weight, *_ in levels[0]) + constant >= 1 << width:
        raise Wrong("the count does not fit the rows")
    for number, (source, target) in enumerate(pairwise(levels)):
        before = known(netlist, source) if number else constant
        more = sum(excess(netlist, *part, width) for part in components(netlist, source, target)) - before
        # No level may weigh more than the one before, and any only as much less as is a multiple of 2 ** width: as
        # the first weighs less than that, all weigh the same.
        if more:
            raise Wrong(f"level {number + 1} weighs {more} more")
    clocks = {"x": 0, "w": 0, "pad": lane.pad_delay}
    delays = netlist.delays({bit: clock for port, clock in clocks.items() for bit in netlist.ports.get(port, [])})
    if {delays[bit] for row in lane.rows for bit in netlist.ports[row] if bit in delays} - {lane.latency}:
        raise Wrong("not as late as is said")


def without_pad(netlist):
    """The netlist while ``pad`` is 0."""
    netlist.fixed |= dict.fromkeys(netlist.ports.get("pad", []), np.uint64(0))
    return netlist


@pytest.fixture(autouse=True)
def _in_folder(tmp_path):
    """Yosys' files go there."""
    with contextlib.chdir(tmp_path):
        yield


def lane_of(simd, **options):
    return BinaryLane(simd, BIPOLAR, **options)


@pytest.mark.parametrize("simd", SIZES)
def test_proof(simd, tmp_path):
    lane = lane_of(simd)
    prove(emitted(lane, tmp_path / "rtl"), lane)


@pytest.mark.parametrize("lane", [
    lane_of(64, pad=True), lane_of(27, pad=True, halves=True), lane_of(384, missing=192),
    lane_of(54, missing=27, halves=True), lane_of(6, missing=3, halves=True), lane_of(576, pad=True, missing=288),
    BinaryLane(27, Values(-128, 127)), BinaryLane(9, Values(0, 3)), BinaryLane(3, Values(0, 255)),
    lane_of(1, wired=True), lane_of(784, wired=True), lane_of(27, pad=True, missing=9, halves=True, wired=True),
    BinaryLane(27, Values(0, 255), wired=True),
], ids=lambda lane: lane.unit_name)
@pytest.mark.parametrize("carry_bits", [0, 4, 8])
def test_proof_of_other_forms(lane, carry_bits, tmp_path):
    prove(without_pad(emitted(lane, tmp_path / "rtl", carry_bits)), lane)


def counted(netlist, lane, x, w, **pad):
    """What the rows add up to for each of the cases in the words ``x`` and ``w``."""
    ports, cases = netlist.run(x=x, w=w, **pad), 64 * len(x[0])
    return sum(number(ports[row], cases) for row in lane.rows)


def number(bits, cases):
    """Numbers of which ``bits`` are the bits."""
    return sum(unpacked(words, cases) << k for k, words in enumerate(bits))


def count(lane, x, w):
    """What the rows have to add up to."""
    agree = sum(unpacked(~(a ^ b), 64 * len(a)) for a, b in zip(x, w, strict=True))
    return (agree << lane.halves) + ((lane.missing << lane.halves) // 2)


def random_words(bits, words):
    return list(RNG.integers(0, 2**64, (bits, words), np.uint64))


@pytest.mark.parametrize("carry_bits", [0, 8])
@pytest.mark.parametrize("simd", range(1, 13))
def test_small_ones_exhaustively(simd, carry_bits, tmp_path):
    """All pairs of five bits, from six on all patterns of agreements."""
    for k, options in enumerate([{}, {"pad": True, "missing": 3, "halves": True}]):
        lane = lane_of(simd, **options)
        netlist = without_pad(emitted(lane, tmp_path / f"rtl{k}", carry_bits))
        if simd <= 5:
            x, w = np.split(np.array(patterns(2 * simd)), 2)
        else:
            agree = patterns(simd)
            w = random_words(simd, len(agree[0]))
            x = [~(a ^ b) for a, b in zip(agree, w, strict=True)]
        assert (counted(netlist, lane, list(x), list(w)) == count(lane, x, w)).all()


@pytest.mark.parametrize("lane", [
    lane_of(64, pad=True), lane_of(27, pad=True, halves=True), lane_of(576, pad=True, missing=288)],
    ids=lambda lane: lane.unit_name)
def test_words_outside_count_half(lane, tmp_path):
    netlist = emitted(lane, tmp_path / "rtl")
    x, w = random_words(lane.simd, 2), random_words(lane.simd, 2)
    half = ((lane.simd << lane.halves) // 2) + ((lane.missing << lane.halves) // 2)
    assert (counted(netlist, lane, x, w, pad=[np.full(2, ONES)]) == half).all()


@pytest.mark.parametrize("simd", sorted({1152, *RNG.integers(13, 1152, 5).tolist()}))
def test_forms_agree(simd, tmp_path):
    """Primitives and plain arithmetic, for random vectors, all of nothing, and all of everything."""
    lane = lane_of(simd)
    x, w = random_words(simd, 16), random_words(simd, 16)
    for k in range(simd):  # the first three words: all agree, none does, about as few as many do
        x[k][:3] = w[k][0], ~w[k][1], w[k][2] ^ x[k][2] & x[k][3] & x[k][4]
    for carry_bits in (0, 8):
        netlist = emitted(lane, tmp_path / f"rtl{carry_bits}", carry_bits)
        assert (counted(netlist, lane, x, w) == count(lane, x, w)).all()


def test_without_primitives_for_another_vendor(tmp_path):
    """Plain Verilog, which Yosys maps to Lattice's ECP5; what it is mapped to is proven, too."""
    lane, mapped, design = lane_of(144), tmp_path / "mapped.v", libyosys.Design()
    emitted(lane, tmp_path / "rtl", 0)
    (source,) = (tmp_path / "rtl").iterdir()
    assert not re.search("LUT6_2|CARRY", source.read_text())
    for command in (f"read_verilog rtl/{source.name}", f"synth_ecp5 -top {lane.unit_name}", "write_verilog mapped.v"):
        design.run_pass(f"tee -q {command}")
    assert {"LUT4", "TRELLIS_FF"} <= set(re.findall(r"^  (\w+)", mapped.read_text(), flags=re.MULTILINE))
    prove(Netlist([mapped], lane.unit_name, models=["+/ecp5/cells_sim.v"]), lane)


def template(kind, models, **parameters):
    """The cells of a template with the primitives' models here, or with Yosys'."""
    return Netlist([VERILOG / f"{kind}.v"], kind, parameters, MODELS if models == "here" else XILINX)


here_and_yosys = pytest.mark.parametrize("models", ["here", "yosys"])
carry_blocks = pytest.mark.parametrize("carry", [4, 8])


def all_cases(netlist, inputs):
    """What the ports are for all patterns of the ``inputs``: for each its bits as integers."""
    words = iter(patterns(sum(len(netlist.ports[name]) for name in inputs)))
    return cases(netlist, {name: [next(words) for _ in netlist.ports[name]] for name in inputs})


def cases(netlist, inputs):
    size = 64 * len(next(iter(inputs.values()))[0])
    return {name: [unpacked(words, size) for words in bits] for name, bits in netlist.run(**inputs).items()}


@here_and_yosys
@pytest.mark.parametrize("width", [1, 2, 3])
def test_xnor_adders(width, models):
    found = all_cases(template("xnor_adders", models, WIDTH=width), ["x0", "w0", "x1", "w1", "c"])
    for x0, w0, x1, w1, c, total, carry in zip(
            *(found[name] for name in ("x0", "w0", "x1", "w1", "c", "sum", "carry")), strict=True):
        assert (total + 2 * carry == (x0 == w0) + (x1 == w1).astype(int) + c).all()


@here_and_yosys
@carry_blocks
@pytest.mark.parametrize("width", [1, 2, 3])
def test_counters(width, carry, models):
    found = all_cases(template("counters", models, WIDTH=width, CARRY=carry), "abcdefg")
    for k in range(width):
        assert (found["one"][k] + 2 * found["two"][k] + 4 * found["four"][k] == sum(
            found[name][k] for name in "abcdefg")).all()


@here_and_yosys
@carry_blocks
@pytest.mark.parametrize("width", range(1, 21))
def test_ternary_adder(width, carry, models):
    """Four bits exhaustively, more at random, all full among them."""
    netlist, names = template("ternary_adder", models, WIDTH=width, CARRY=carry), ["a", "b", "c", "clear"]
    if width <= 4:
        found = all_cases(netlist, names)
    else:
        inputs = {name: random_words(len(netlist.ports[name]), 64) for name in names}
        for name in "abc":
            inputs[name] = [np.append(words, ONES) for words in inputs[name]]
        found = cases(netlist, inputs | {"clear": [np.append(inputs["clear"][0], np.uint64(0))]})
    a, b, c, clear, total = (sum(bit << k for k, bit in enumerate(found[name])) for name in (*names, "sum"))
    assert (total == (a + b + np.where(clear, 0, c)) % (1 << width)).all()


@here_and_yosys
@pytest.mark.parametrize("width", range(1, 6))
def test_multiplexers(width, models):
    found = all_cases(template("multiplexers", models, WIDTH=width), ["a", "b", "choose"])
    for k in range(width):
        assert (found["result"][k] == np.where(found["choose"][0], found["b"][k], found["a"][k])).all()


@pytest.mark.parametrize(("name", "parameters"), [
    ("CARRY4", {}), ("CARRY8", {"CARRY_TYPE": '"SINGLE_CY8"'}), ("CARRY8", {"CARRY_TYPE": '"DUAL_CY4"'}),
    *(("LUT6_2", {"INIT": f"64'h{value:x}"}) for value in (0, *RNG.integers(0, 2**64, 5, np.uint64)))])
def test_models_of_primitives(name, parameters):
    """Those here do what Yosys' do, exhaustively."""
    here, yosys = Netlist([], name, parameters), Netlist([], name, parameters, XILINX)
    inputs = [port for port in here.ports if port not in ("O", "CO", "O5", "O6")]
    assert sorted(here.ports) == sorted(yosys.ports)
    one, other = all_cases(here, inputs), all_cases(yosys, inputs)
    assert all((a == b).all() for port in one for a, b in zip(one[port], other[port], strict=True))


def wrong_bit(kind, table, bit):
    """Edit of one bit of the contents of a LUT."""
    def edit(name, text):
        if name != f"{kind}.v":
            return text
        found = list(re.finditer(r"64'h(\w{16})", text))[table]
        return text[:found.start(1)] + f"{int(found[1], 16) ^ 1 << bit:016x}" + text[found.end(1):]
    return edit


@pytest.mark.parametrize(("kind", "table", "bit"), [
    *(("xnor_adders", 0, int(bit)) for bit in RNG.choice(64, 6, replace=False)),
    *(("counters", 0, int(bit)) for bit in RNG.choice(64, 6, replace=False)),
    *(("counters", 1, int(bit)) for bit in RNG.choice(range(32, 64), 4, replace=False)),
    *(("ternary_adder", 0, int(bit)) for bit in RNG.choice(range(32, 48), 4, replace=False))])
def test_wrong_bit_of_a_table_is_found(kind, table, bit, tmp_path):
    lane = lane_of(40)
    netlist = emitted(lane, tmp_path / "rtl", edit=wrong_bit(kind, table, bit))
    with pytest.raises(Wrong):
        prove(netlist, lane)


def exchanged(netlist, level):
    """Two registers of neighbouring weights take each other's value."""
    (_, one), (_, other) = (next(term for term in level if term[0] == weight) for weight in (1, 2))
    netlist.registers[one], netlist.registers[other] = netlist.registers[other], netlist.registers[one]


def used_twice(netlist, level):
    """A bit is taken for its neighbour."""
    one, other = level[0][1], level[1][1]
    for _, pins in netlist.gates.values():
        pins.update({pin: other for pin, bit in pins.items() if bit == one})
    netlist.registers.update({q: other for q, bit in netlist.registers.items() if bit == one})


def early(netlist, level):
    """A register is left out."""
    bit = level[0][1]
    netlist.gates[bit] = "$_OR_", dict.fromkeys("AB", netlist.registers.pop(bit))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("fault", [exchanged, used_twice, early])
def test_wrong_wires_are_found(fault, number, tmp_path):
    lane = lane_of(64)
    netlist = emitted(lane, tmp_path / "rtl")
    fault(netlist, stages(netlist, lane)[number])
    with pytest.raises(Wrong):
        prove(netlist, lane)
