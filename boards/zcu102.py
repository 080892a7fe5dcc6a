"""AMD ZCU102: Zynq UltraScale+ XCZU9EG."""

from amaranth.build import Attrs, Clock, DiffPairs, Pins, Resource
from amaranth.vendor import XilinxPlatform

from gen.resources import Resources

__all__ = ["ZCU102Platform"]

LEDS = "AG14 AF13 AE13 AJ14 AJ15 AH13 AH14 AL12"


class ZCU102Platform(XilinxPlatform):
    """AMD ZCU102 evaluation board (UG1182): clocks, reset button and LEDs of the programmable logic."""

    device = "xczu9eg"
    package = "ffvb1156"
    speed = "2-e"
    budget = Resources(lut=274_080, ff=548_160, bram=912, dsp=2_520)
    carry_bits = 8
    dsp_column = 168  # DSPs that one cascade can go through
    fabric_clock = 250e6
    default_clk = "clk125"
    default_rst = "rst"
    resources = [
        Resource("clk125", 0, DiffPairs("G21", "F21", dir="i"), Clock(125e6),
                 Attrs(IOSTANDARD="LVDS_25")),
        Resource("clk300", 0, DiffPairs("AL8", "AL7", dir="i"), Clock(300e6),
                 Attrs(IOSTANDARD="DIFF_SSTL12")),
        Resource("rst", 0, Pins("AM13", dir="i"), Attrs(IOSTANDARD="LVCMOS33")),
        *(Resource("led", number, Pins(pin, dir="o"), Attrs(IOSTANDARD="LVCMOS33"))
          for number, pin in enumerate(LEDS.split())),
    ]
    connectors = []
