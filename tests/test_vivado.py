import pathlib

import pytest

from gen.vivado import scripts

tkinter = pytest.importorskip("tkinter")

COMMANDS = ("create_project read_verilog read_mem read_xdc synth_design write_checkpoint report_utilization "
            "opt_design place_design phys_opt_design route_design report_timing_summary report_power "
            "read_saif get_timing_paths create_clock get_ports").split()


@pytest.fixture
def vivado(monkeypatch):
    """Tcl interpreter whose Vivado commands only record how they are called."""
    monkeypatch.chdir(".")  # where the scripts' own cd, which is the whole process', is undone
    tcl = tkinter.Tcl()
    tcl.calls = []
    for name in COMMANDS:
        tcl.createcommand(name, lambda *words, name=name: tcl.calls.append((name, *words)) or name)
    tcl.createcommand("get_property", lambda *words: "0.1")
    return tcl


def run(tcl, folder, texts, script):
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    tcl.call("source", str(folder / script))
    return {name: words for name, *words in tcl.calls}


PARTS = "xczu9eg-ffvb1156-2-e", "xc7z020clg400-1"
PART = PARTS[0]


@pytest.mark.parametrize("name", ["conv1", "a b", "a$b[c]", 'a{b"c', "a;b\\c"])
def test_synthesis_reads_every_file(vivado, tmp_path, name):
    files = [f"{name}.v", f"{name}.mem", "top.v"]
    calls = run(vivado, tmp_path / "vivado", scripts("top", files, PART, 250e6), "synth.tcl")
    rtl = tmp_path / "vivado" / ".." / "rtl"
    assert set(vivado.splitlist(calls["read_verilog"][0])) == {str(rtl / f"{name}.v"), str(rtl / "top.v")}
    assert vivado.splitlist(calls["read_mem"][0]) == (str(rtl / f"{name}.mem"),)
    assert calls["synth_design"][:6] == ["-top", "top", "-part", PART, "-mode", "out_of_context"]
    assert [name for name, *_ in vivado.calls if name.endswith("_design")] == [
        "synth_design", "opt_design", "place_design", "phys_opt_design", "route_design"]


def test_without_memories(vivado, tmp_path):
    calls = run(vivado, tmp_path / "vivado", scripts("top", ["top.v"], "part", 250e6), "synth.tcl")
    assert "read_mem" not in calls


def test_power_by_simulated_activity(vivado, tmp_path):
    activity = tmp_path / "sim" / "verilator" / "top.saif"
    activity.parent.mkdir(parents=True)
    activity.touch()
    calls = run(vivado, tmp_path / "vivado", scripts("top", ["top.v"], PART, 250e6), "synth.tcl")
    names = [name for name, *_ in vivado.calls]
    assert names.index("route_design") < names.index("read_saif") == names.index("report_power") - 1
    assert calls["read_saif"][:2] == ["-strip_path", "top"]
    assert pathlib.Path(calls["read_saif"][-1]).resolve() == activity


@pytest.mark.parametrize("part", PARTS)
def test_part(vivado, tmp_path, part):
    calls = run(vivado, tmp_path / "vivado", scripts("top", ["top.v"], part, 100e6), "synth.tcl")
    assert calls["create_project"] == ["-in_memory", "-part", part]
    assert calls["synth_design"][2:4] == ["-part", part]


def test_clock(vivado, tmp_path):
    calls = run(vivado, tmp_path / "vivado", scripts("top", [], "part", 300e6), "clock.xdc")
    assert calls["create_clock"] == ["-name", "ap_clk", "-period", "3.333", "get_ports"]
