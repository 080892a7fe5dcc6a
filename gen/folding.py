"""How far each layer is unrolled: processing elements, SIMD lanes, pixels."""

from dataclasses import dataclass

from .network import Conv, Flatten, Lookup, Pool, Threshold, TopK

__all__ = ["Folding", "beats", "cycles"]


@dataclass(frozen=True)
class Folding:
    """Parallelism of one layer.

    Parameters
    ----------
    pe : int
        Outputs computed at once; divides the output channels. 1 but for convolutions.
    simd : int
        Input channels taken at once; divides the input channels.
    pixels : int
        Neighbouring output positions of a row computed at once, by the same weights; divides the output
        width. 1 but for convolutions.
    """

    pe: int = 1
    simd: int = 1
    pixels: int = 1


def beats(tensor, lanes):
    """Transfers per frame of a stream that carries ``lanes`` channels of one position."""
    return tensor.positions * tensor.channels // lanes


def cycles(layer, folding):
    """Clock cycles per frame of ``layer`` in steady state."""
    taken = beats(layer.input, folding.simd)
    match layer:
        case Conv():
            given = beats(layer.output, folding.pe)
            window = layer.kernel[0] * layer.kernel[1] * layer.input.channels // folding.simd
            return max(taken, given, given // folding.pixels * window)
        case Pool():
            return max(taken, beats(layer.output, folding.simd) * layer.kernel[0] * layer.kernel[1])
        case Flatten():
            return 0
        case Lookup() | Threshold() | TopK():
            return taken
