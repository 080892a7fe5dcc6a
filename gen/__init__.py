"""Popweave: Verilog accelerators from trained binary and power-of-two networks."""

__version__ = "0.1.0"
