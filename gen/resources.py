"""What a chip holds and what a design takes, counted alike."""

from dataclasses import astuple, dataclass, fields

__all__ = ["Resources"]


@dataclass(frozen=True)
class Resources:
    """Amounts of an FPGA's resources.

    Parameters
    ----------
    lut, ff, dsp, uram : float
        Six-input look-up tables, flip-flops, DSP slices, UltraRAM blocks.
    bram : float
        36 Kbit block memories; half of one is an 18 Kbit memory.
    """

    lut: float = 0
    ff: float = 0
    bram: float = 0
    dsp: float = 0
    uram: float = 0

    def __add__(self, other):
        return Resources(self.lut + other.lut, self.ff + other.ff, self.bram + other.bram, self.dsp + other.dsp,
                         self.uram + other.uram)

    def __mul__(self, count):
        return Resources(self.lut * count, self.ff * count, self.bram * count, self.dsp * count, self.uram * count)

    def within(self, room):
        """Whether ``room`` holds this."""
        return all(needed <= limit for needed, limit in zip(astuple(self), astuple(room), strict=True))

    def items(self):
        """(name, amount) pairs."""
        return [(part.name, getattr(self, part.name)) for part in fields(self)]
