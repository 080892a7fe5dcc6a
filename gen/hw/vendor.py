"""What AMD's primitives do, in Verilog, for simulators; synthesis knows them."""

import pathlib

__all__ = ["MODELS"]

MODELS = [pathlib.Path(__file__).parent / "verilog" / f"{name}.v" for name in ("CARRY4", "CARRY8", "DSP48E2", "LUT6_2")]
