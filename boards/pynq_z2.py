"""TUL PYNQ-Z2: Zynq-7000 XC7Z020."""

from amaranth.build import Attrs, Clock, Pins, Resource
from amaranth.vendor import XilinxPlatform

from gen.resources import Resources

__all__ = ["PynqZ2Platform"]

LEDS = "R14 P14 N16 M14"


class PynqZ2Platform(XilinxPlatform):
    """TUL PYNQ-Z2 board: clock of the programmable logic, button 0 as reset, and LEDs."""

    device = "xc7z020"
    package = "clg400"
    speed = "1"
    budget = Resources(lut=53_200, ff=106_400, bram=140, dsp=220)
    carry_bits = 4
    fabric_clock = 100e6
    default_clk = "clk125"
    default_rst = "rst"
    resources = [
        Resource("clk125", 0, Pins("H16", dir="i"), Clock(125e6), Attrs(IOSTANDARD="LVCMOS33")),
        Resource("rst", 0, Pins("D19", dir="i"), Attrs(IOSTANDARD="LVCMOS33")),
        *(Resource("led", number, Pins(pin, dir="o"), Attrs(IOSTANDARD="LVCMOS33"))
          for number, pin in enumerate(LEDS.split())),
    ]
    connectors = []
