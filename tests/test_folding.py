import pytest

from gen import folding
from gen.errors import UserError
from gen.folding import Folding
from gen.stages import stages

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
])
def test_cycles_of_a_convolution(chosen, expected):
    conv = tiny().layers[1]
    assert folding.cycles(conv, chosen) == expected


def test_files_round_trip(tmp_path):
    foldings = {"conv1": Folding(4, 3, 2), "pool2": Folding(simd=8)}
    folding.save(foldings, tmp_path / "folding.json")
    assert folding.load(tmp_path / "folding.json") == foldings


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": 1}', '{"a": {"pe": "4"}}',
                                  '{"a": {"pe": 1.5}}', '{"a": {"PE": 1}}', '{"a": {"pe": true}}'])
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
])
def test_impossible_foldings(name, chosen, message):
    with pytest.raises(UserError, match=message):
        folding.check(tiny(), {name: chosen})
