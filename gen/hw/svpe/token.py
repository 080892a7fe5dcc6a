"""What travels along the array with every slot."""

from amaranth.lib import data

__all__ = ["Token"]


class Token(data.StructLayout):
    """One slot of a pass: an output position, for which every chain of every lane works once.

    Members
    -------
    slot
        This is a slot; otherwise the array idles.
    start
        It is the first of its pass.
    pattern, offset
        Of the pass: index of each chain's pattern, and what is added to its base, in pixels.
    row, column
        Output position within the tile; columns from the tile's width on are gaps, in which rasters go on.
    row_last, end
        It is the last slot of its row, of its pass.
    valid
        It is no gap: its sums are kept.
    first, last
        Sums of this pass begin anew, and are finished, respectively.
    target
        Accumulator, or place in the output buffer, of this position; of valid slots only.
    """

    def __init__(self):
        super().__init__({
            "slot": 1, "start": 1, "pattern": 6, "offset": 16, "row": 10, "column": 10, "row_last": 1, "end": 1,
            "valid": 1, "first": 1, "last": 1, "target": 16})
