import numpy as np
import pytest

from gen import folding
from gen.bits import BIPOLAR, Values
from gen.errors import UserError
from gen.folding import Folding, Payload
from gen.network import Conv, Pool, Tensor, Threshold
from gen.stages import Stage, stages

from .samples import tiny, top1


def test_thresholds_after_convolutions_and_flattens_have_no_folding_of_their_own():
    assert {stage.name: stage.threshold and stage.threshold.name for stage in stages(top1(tiny()))} == {
        "input": None, "conv1": "sign1", "pool2": None, "conv3": "sign3", "dense4": None, "top1": None}


@pytest.mark.parametrize(("chosen", "expected"), [
    (Folding(1, 1, 1), 8 * 8 * 8 * 27),
    (Folding(8, 3, 1), 8 * 8 * 9),
    (Folding(8, 3, 8), 8 * 9),
    (Folding(1, 3, 8), 8 * 8 * 9),
    (Folding(8, 1, 1), 8 * 8 * 27),
    (Folding(8, 1, 8, 3), 8 * 3 * 3),
    (Folding(2, 3, 8, 3), 4 * 8 * 3),
])
def test_work_of_a_convolution(chosen, expected):
    assert folding.work(tiny().layers[1], chosen) == expected


def stage_of(layer):
    return Stage(layer, None, None, (None,))


@pytest.mark.parametrize(("taken", "given", "expected"), [
    (8, 1, 8 * 3 * 3),  # the work
    (1, 1, 64 * 3),  # taking 3 channels of 64 positions one by one
    (4, 1, 72), (8, 8, 72)])
def test_cycles_are_the_work_or_the_stream(taken, given, expected):
    stage = stage_of(tiny().layers[1])
    assert folding.cycles(stage, Folding(8, 1, 8, 3), taken, given) == expected


def test_cycles_of_what_is_given():
    """Of a 1x1 convolution that is all done at once, eight totals a position leave one by one."""
    layer = Conv("conv", Tensor(4, 4, 6, BIPOLAR), weights=np.ones((8, 6, 1, 1), np.int8))
    assert folding.work(layer, Folding(8, 6, 4)) == 4
    assert folding.cycles(stage_of(layer), Folding(8, 6, 4), 4, 1) == 16
    assert folding.cycles(stage_of(layer), Folding(1, 6, 4), 4, 1) == 8 * 16


@pytest.mark.parametrize(("kernel", "stride", "simd", "pixels", "taken", "given", "expected"), [
    ((2, 2), (2, 2), 4, 4, 8, 4, 8 * 2),  # blocks: as fast as pixels come
    ((2, 2), (2, 2), 4, 1, 1, 1, 64 * 2),
    ((2, 2), (2, 2), 4, 4, 8, 1, 16 * 2 * 2),  # or as results leave, in half of the rows
    ((3, 3), (2, 2), 8, 1, 1, 1, 9 * 9),
    ((3, 3), (2, 2), 8, 3, 1, 1, 64),
])
def test_cycles_of_a_pool(kernel, stride, simd, pixels, taken, given, expected):
    layer = Pool("pool", Tensor(8, 8, 8, BIPOLAR), kernel=kernel, stride=stride)
    assert folding.cycles(stage_of(layer), Folding(simd=simd, pixels=pixels), taken, given) == expected


def conv(*kernel, **parameters):
    """Of twelve columns."""
    return Conv("conv", Tensor(8, 12, 4, BIPOLAR), weights=np.ones((8, 4, *kernel), np.int8), **parameters)


def pool(**parameters):
    """The same, pooled."""
    return Pool("pool", Tensor(8, 12, 4, BIPOLAR), **parameters)


@pytest.mark.parametrize(("layer", "chosen", "given", "expected"), [
    (conv(3, 3, pads=(1, 1, 1, 1)), Folding(pixels=4), 0, 4),
    (conv(3, 3, pads=(1, 1, 1, 1)), Folding(pixels=4), 6, 2),
    (conv(3, 3, pads=(1, 1, 1, 1)), Folding(pixels=12, taps=3), 6, 6),
    (conv(3, 3), Folding(pixels=10, taps=3), 12, 12),
    (conv(3, 3), Folding(pixels=10), 12, 2),
    (conv(1, 1, stride=(1, 2)), Folding(pixels=3), 12, 6),
    (pool(), Folding(), 12, 1),
    (pool(stride=(2, 2)), Folding(), 12, 2),
    (pool(stride=(2, 2)), Folding(pixels=6), 12, 12),
    (pool(stride=(2, 2)), Folding(pixels=3), 4, 2),
    (pool(stride=(2, 2)), Folding(), 3, 1),
    (pool(kernel=(2, 4), stride=(2, 4)), Folding(pixels=3), 12, 12),
    (pool(kernel=(2, 4), stride=(2, 4)), Folding(pixels=3), 6, 2),  # halves of blocks, not one and a half
])
def test_positions_that_are_taken_at_a_time(layer, chosen, given, expected):
    found = folding.takes(layer, chosen, given)
    assert found == expected and (not given or given % found == 0)


def test_streams_are_as_wide_as_both_ends_can_be():
    """tiny: signs of eight columns are pooled four by four, and taken as such."""
    net = tiny()
    chosen = {"input": Folding(simd=3), "conv1": Folding(8, 3, 8, 3), "pool2": Folding(simd=8, pixels=4),
              "conv3": Folding(4, 8, 4, 3), "dense4": Folding(10, 256)}
    folding.check(net, chosen)
    flow = folding.streams(net, chosen)
    by_name = {stage.name: stage for stage in flow.stages}

    def widths(which):
        return {name: (which[stage].channels, which[stage].pixels) for name, stage in by_name.items()}

    assert flow.given[None] == Payload(3)
    assert widths(flow.made) == {"input": (3, 1), "conv1": (8, 8), "pool2": (8, 4), "conv3": (4, 4), "dense4": (10, 1)}
    assert widths(flow.given) == {"input": (3, 1), "conv1": (8, 8), "pool2": (8, 4), "conv3": (4, 1),
                                  "dense4": (10, 1)}
    assert {name: flow.cycles[stage] for name, stage in by_name.items()} == {
        "input": 64, "conv1": 64, "pool2": 8, "conv3": 4 * 4 * 4, "dense4": 1}


@pytest.mark.parametrize(("values", "levels", "flip", "expected"), [
    (BIPOLAR, 2, False, True), (Values(0, 1), 2, False, True), (BIPOLAR, 2, True, False),
    (Values(-1, 1), 3, False, False), (Values(-1, 0), 2, False, False)])
def test_signs_of_sums_are_those_of_binary_thresholds(values, levels, flip, expected):
    layer = tiny().layers[1]
    sign = Threshold("sign", layer.output, thresholds=np.zeros((8, levels - 1), np.int64), flip=np.full(8, flip),
                     values=values)
    assert Stage(layer, sign, None, (None,)).binary is expected
    assert folding.gives(Stage(layer, sign, None, (None,)), Folding(2, 1, 4)) == Payload(2, 4 if expected else 1)


def test_files_round_trip(tmp_path):
    foldings = {"conv1": Folding(4, 3, 2), "pool2": Folding(simd=8), "conv3": Folding(4, 8, 4, 3, True, "block")}
    folding.save(foldings, tmp_path / "folding.json")
    assert folding.load(tmp_path / "folding.json") == foldings


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": 1}', '{"a": {"pe": "4"}}',
                                  '{"a": {"pe": 1.5}}', '{"a": {"PE": 1}}', '{"a": {"pe": true}}',
                                  '{"a": {"dsp": 1}}', '{"a": {"taps": "3"}}', '{"a": {"memory": true}}'])
def test_malformed_files(tmp_path, text):
    path = tmp_path / "folding.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"folding\.json: .* it has to be of the form"):
        folding.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: No such file"):
        folding.load(tmp_path / "none.json")


@pytest.mark.parametrize(("name", "chosen", "message"), [
    ("conv9", Folding(), "no such layer to fold; there are: input, conv1, pool2, conv3, dense4"),
    ("sign1", Folding(), "no such layer to fold"),
    ("conv3", Folding(pe=5), "'conv3': pe is 5, which does not divide 16; possible are 1, 2, 4, 8, 16"),
    ("conv3", Folding(pixels=3), "pixels is 3, which does not divide 4; possible are 1, 2, 4"),
    ("pool2", Folding(pe=2), "pe is 2, which does not divide 1; possible are 1"),
    ("conv1", Folding(simd=0), "simd is 0"),
    ("conv1", Folding(pixels=8, taps=2), r"taps is 2; it can be 1; .* kernel's width, with pixels the output's \(8\)"),
    ("conv1", Folding(pixels=4, taps=3), "taps is 3; it can be 1"),
    ("pool2", Folding(pixels=4, taps=2), "taps is 2; it can be 1"),
])
def test_impossible_foldings(name, chosen, message):
    with pytest.raises(UserError, match=message):
        folding.check(tiny(), {name: chosen})
