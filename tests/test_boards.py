# amaranth: UnusedElaboratable=no
import contextlib
import json

import pytest
from pyosys import libyosys
from typer.testing import CliRunner

import boards
from gen import build, folding
from gen.errors import UserError
from gen.folding import Folding
from gen.hw.vendor import MODELS
from gen.plan import Plan
from gen.solver import solve
from gen.svpe.plan import ArrayPlan
from gen.svpe.shape import Shape

from .samples import tiny

CARRIES = {"ultrascale": 8, "ultrascaleplus": 8, "series7": 4}
FOLDINGS = {"input": Folding(simd=3), "conv1": Folding(4, 3), "pool2": Folding(simd=8), "conv3": Folding(8, 8, 4),
            "dense4": Folding(2, 16)}


def primitives(plan, folder):
    """AMD's primitives in the Verilog of ``plan``, once its parameters have been put in."""
    top, _ = plan.emit(folder, 1)
    design = libyosys.Design()
    with contextlib.chdir(folder):
        for command in (f"read_verilog -lib {' '.join(map(str, MODELS))}", "read_verilog -defer *.v",
                        f"hierarchy -check -top {top}"):
            design.run_pass(f"tee -q {command}")
    library = {path.stem for path in MODELS}
    modules = [module for module in design.modules_.values() if module.name.unescape() not in library]
    return library & {cell.type.unescape() for module in modules for cell in module.cells_.values()}


@pytest.mark.parametrize("name", boards.names())
def test_board_is_complete(name):
    board = boards.find(name)
    assert board.carry_bits == CARRIES[board.family]
    assert boards.dsp48e2(board) == hasattr(board, "dsp_column") == (board.family != "series7")
    assert board.default_clk_frequency > 0 and board.fabric_clock > 0
    assert min(board.budget.lut, board.budget.ff, board.budget.bram, board.budget.dsp) > 0


def test_zcu102():
    board = boards.find("zcu102")
    assert boards.part(board) == "xczu9eg-ffvb1156-2-e"
    assert (board.budget.lut, board.budget.ff) == (274_080, 548_160)
    assert (board.budget.bram, board.budget.dsp, board.budget.uram) == (912, 2_520, 0)
    assert board.default_clk_frequency == 125e6
    assert board.request("clk300", dir="-") is not None


def test_pynq_z2():
    board = boards.find("pynq_z2")
    assert boards.part(board) == "xc7z020clg400-1"
    assert (board.budget.lut, board.budget.ff) == (53_200, 106_400)
    assert (board.budget.bram, board.budget.dsp, board.budget.uram) == (140, 220, 0)
    assert (board.default_clk_frequency, board.fabric_clock) == (125e6, 100e6)
    assert [board.request("led", number, dir="-") is not None for number in range(4)] == [True] * 4


def test_unknown_board_lists_those_there_are():
    with pytest.raises(UserError, match=r"no board named 'zcu999'; there are: pynq_z2, zcu102"):
        boards.find("zcu999")


def test_a_stream_of_the_chips_own_primitives(tmp_path):
    """Those of UltraScale+ are in the same design for the other board."""
    network, zcu102, pynq_z2 = tiny(), boards.find("zcu102"), boards.find("pynq_z2")
    wide = FOLDINGS | {"conv3": Folding(8, 8, 4, dsp=True)}
    assert primitives(Plan(network, zcu102, 1e8, wide), tmp_path / "wide") == {"LUT6_2", "CARRY8", "DSP48E2"}
    assert primitives(Plan(network, pynq_z2, 1e8, FOLDINGS), tmp_path / "narrow") == {"LUT6_2", "CARRY4"}
    assert primitives(Plan(network, None, 1e8, FOLDINGS), tmp_path / "none") == {"LUT6_2", "CARRY8"}


def test_an_array_of_the_chips_own_primitives(tmp_path):
    shape = Shape(chains=3, lanes=2, drains=2, chain_words=64, out_depth=64, form="luts")
    assert primitives(ArrayPlan(tiny(), boards.find("pynq_z2"), 1e8, shape), tmp_path) == set()


def test_accumulators_in_dsps_that_can():
    """Where a DSP costs nothing, they are in DSPs of the one board alone."""
    network, budget = tiny(), boards.find("zcu102").budget
    for able in (True, False):
        chosen = solve(network, budget, 1e8, 1e5, dsp48e2=able)
        assert any(one.dsp for one in chosen.values()) == able


def run(*arguments):
    return CliRunner(env={"COLUMNS": "160"}).invoke(build.app, ["--net", "tiny", "--board", "pynq_z2", *arguments])


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small network in place of what is imported, in an empty folder."""
    (tmp_path / "tiny.onnx").write_bytes(b"model")
    monkeypatch.setattr(build.zoo, "find", lambda net: tmp_path / "tiny.onnx")
    monkeypatch.setattr(build.qonnx, "load", lambda path, *name, **options: tiny())
    monkeypatch.chdir(tmp_path)


def test_build_for_the_7_series(model, tmp_path):
    folding.save(FOLDINGS, tmp_path / "given.json")
    result = run("--folding", "given.json", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["part"] == "xc7z020clg400-1" and facts["clock_hz"] == 100e6
    script, clock = ((tmp_path / facts["folder"] / "vivado" / name).read_text() for name in ("synth.tcl", "clock.xdc"))
    assert "-part xc7z020clg400-1 " in script and "-period 10.000 " in clock
    assert build.reopen(tmp_path / facts["folder"])[0].board.device == "xc7z020"


def test_dsp_accumulators_are_refused_on_the_7_series(model, tmp_path):
    folding.save({"conv3": Folding(8, 8, 4, dsp=True)}, tmp_path / "given.json")
    result = run("--folding", "given.json")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "folding of 'conv3': this chip's DSPs cannot keep sums" in result.stderr
    assert not (tmp_path / "rtl_out").exists()


@pytest.mark.parametrize("form", ["svpe", "vpe"])
def test_arrays_of_dsp48e2_are_refused_on_the_7_series(model, tmp_path, form):
    result = run("--arch", form)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"an array of the form {form} needs DSP48E2 blocks, and xc7z020 has none: --arch luts" in result.stderr
    (tmp_path / "shape.json").write_text(json.dumps({"form": form, "acc_bits": 48, "bits": 16 if form == "vpe" else 3}))
    assert run("--shape", "shape.json").stderr == result.stderr
    assert not (tmp_path / "rtl_out").exists()
