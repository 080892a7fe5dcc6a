"""How far each layer is unrolled: processing elements, SIMD lanes, pixels."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, fields
from math import gcd
from pathlib import Path

from .errors import UserError
from .network import Conv, Join, Lookup, Pool, Rescale, Threshold, TopK
from .stages import stages

__all__ = ["Folding", "beats", "check", "cycles", "load", "save", "streams"]


@dataclass(frozen=True)
class Folding:
    """Parallelism of one layer.

    Parameters
    ----------
    pe : int
        Outputs computed at once; divides the output channels. 1 but for convolutions.
    simd : int
        Input channels taken at once; divides the input channels, of each branch where they meet. 1 for a choice of
        the best.
    pixels : int
        Neighbouring output positions of a row computed at once, by the same weights; divides the output
        width. 1 but for convolutions.
    """

    pe: int = 1
    simd: int = 1
    pixels: int = 1

    def __str__(self):
        return f"{self.pe}x{self.simd}x{self.pixels}"


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
        case Join():
            return beats(layer.output, folding.simd)
        case TopK():
            return taken + layer.k
        case Lookup() | Threshold() | Rescale():
            return taken


def streams(network, foldings):
    """What comes from where, in how many channels at a time.

    Returns
    -------
    stages : list of Stage
    lanes : dict of int
        Channels in a payload of what each stage gives; of the pixels under None.
    consumers : Counter
        How many inputs each goes to.
    """
    found, lanes = stages(network), {}
    for stage in found:
        folding = foldings[stage.name]
        lanes.setdefault(None, folding.simd)
        lanes[stage] = folding.pe if isinstance(stage.layer, Conv) else folding.simd
    return found, lanes, Counter(source for stage in found for source in stage.sources)


def limits(layer):
    """What pe, simd and pixels of ``layer`` have to divide."""
    match layer:
        case Conv():
            return {"pe": layer.output.channels, "simd": layer.input.channels, "pixels": layer.output.width}
        case TopK():
            return {"pe": 1, "simd": 1, "pixels": 1}
        case Join():
            return {"pe": 1, "simd": gcd(*(end.channels for end in layer.ends)), "pixels": 1}
        case _:
            return {"pe": 1, "simd": layer.input.channels, "pixels": 1}


def divisors(number):
    """All divisors of ``number``, ascending."""
    return [k for k in range(1, number + 1) if number % k == 0]


def check(network, foldings):
    """Raise :class:`UserError` unless ``foldings`` (layer name to folding) suits ``network``."""
    layers = {stage.name: stage.layer for stage in stages(network)}
    for name, folding in foldings.items():
        if name not in layers:
            raise UserError(f"folding of {name!r}: {network.name} has no such layer to fold; "
                            f"there are: {', '.join(layers)}")
        for what, whole in limits(layers[name]).items():
            number = getattr(folding, what)
            if number < 1 or whole % number:
                raise UserError(f"folding of {name!r}: {what} is {number}, which does not divide {whole}; "
                                f"possible are {', '.join(map(str, divisors(whole)))}")


def load(path):
    """Foldings, by layer name, of a JSON file ``{layer: {"pe": ..., "simd": ..., "pixels": ...}}``.

    Raises
    ------
    UserError
        The file cannot be read, or is not of that form.
    """
    def refused(what):
        form = '{"layer": {"pe": 4, "simd": 8, "pixels": 1}, ...} with positive integers'
        return UserError(f"folding file {path}: {what}; it has to be of the form {form}")

    def entries(pairs):
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        if twice:
            raise refused(f"{twice[0]!r} is there twice")
        return dict(pairs)

    try:
        layers = json.loads(Path(path).read_text(), object_pairs_hook=entries)
    except OSError as error:
        raise UserError(f"folding file {path}: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(f"no JSON ({error})") from None
    if not isinstance(layers, dict):
        raise refused("not a table of layers")
    known = [field.name for field in fields(Folding)]
    for name, numbers in layers.items():
        if not isinstance(numbers, dict) or not all(
                what in known and type(number) is int for what, number in numbers.items()):
            raise refused(f"{name!r} has {json.dumps(numbers)}")
    return {name: Folding(**numbers) for name, numbers in layers.items()}


def save(foldings, path):
    """Write ``foldings`` as :func:`load` reads them."""
    entries = (f'  "{name}": {json.dumps(asdict(folding))}' for name, folding in foldings.items())
    Path(path).write_text("{\n" + ",\n".join(entries) + "\n}\n")
