"""How far each layer is unrolled: processing elements, SIMD lanes, pixels."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, fields, replace
from math import gcd
from pathlib import Path

from .errors import UserError
from .network import Conv, Join, Lookup, Pool, Rescale, Threshold, TopK
from .stages import stages

__all__ = ["Folding", "Payload", "Streams", "beats", "check", "cycles", "gives", "load", "save", "streams", "takes",
           "taps", "whole_rows", "whole_windows", "work"]


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
        width. 1 but for convolutions and pools.
    taps : int
        Places of the kernel taken at once by a convolution: 1; or a row of it, where ``pixels`` is a whole row of the
        image; or all of it, where ``simd`` is all channels.
    dsp : bool
        Whether accumulators are in DSP blocks: of binary convolutions that give signs.
    memory : str
        How the weights of a convolution are kept: the name of a form of :func:`gen.memory_cost.forms`; empty: as
        :func:`gen.memory_cost.choose` finds.
    """

    pe: int = 1
    simd: int = 1
    pixels: int = 1
    taps: int = 1
    dsp: bool = False
    memory: str = ""

    def __str__(self):
        return (f"{self.pe}x{self.simd}x{self.pixels}" + f"x{self.taps}" * (self.taps > 1) + " dsp" * self.dsp
                + f" {self.memory}" * bool(self.memory))


@dataclass(frozen=True)
class Payload:
    """What a stream carries at a time: some channels of some neighbouring positions of a row.

    Rows come one after the other, in a row groups of positions, of a group all groups of channels.
    """

    channels: int
    pixels: int = 1


def beats(tensor, payload):
    """Transfers per frame of a stream of ``tensor``."""
    return tensor.positions * tensor.channels // (payload.channels * payload.pixels)


def work(layer, folding):
    """Clock cycles per frame that the arithmetic of ``layer`` takes."""
    match layer:
        case Conv():
            area = layer.kernel[0] * layer.kernel[1]
            products = (beats(layer.output, Payload(folding.pe, folding.pixels))
                        * (area // folding.taps) * (layer.input.channels // folding.simd))
            # Whole windows are gathered tap by tap, once for all filters.
            gathered = beats(layer.output, Payload(layer.output.channels, folding.pixels)) * area
            return max(products, gathered) if whole_windows(layer, folding) else products
        case Pool() if layer.block:
            return 0  # as fast as pixels come
        case Pool():
            return beats(layer.output, Payload(folding.simd, folding.pixels)) * layer.kernel[0] * layer.kernel[1]
        case Join():
            return beats(layer.output, Payload(folding.simd))
        case TopK():
            return beats(layer.input, Payload(folding.simd)) + layer.k
        case Lookup() | Threshold() | Rescale():
            return beats(layer.input, Payload(folding.simd))


def whole_rows(layer, folding):
    """Whether ``layer`` takes whole rows of the image, and so a row of the kernel, at once."""
    return isinstance(layer, Conv) and folding.taps > 1 and (
        folding.taps == layer.kernel[1] and folding.pixels == layer.output.width)


def whole_windows(layer, folding):
    """Whether ``layer`` takes whole windows at once."""
    return folding.taps > 1 and not whole_rows(layer, folding)


def gives(stage, folding, taken=None):
    """What ``stage`` puts out at a time: signs, and what is pooled, of several positions; all else of one.

    Where it is what it takes that counts, ``taken`` positions come at a time, or as many as it can take.
    """
    layer = stage.layer
    channels = folding.pe if isinstance(layer, Conv) else folding.simd
    if isinstance(layer, Pool) and layer.block:
        return Payload(channels, max(1, (taken or takes(layer, folding)) // layer.kernel[1]))
    return Payload(channels, folding.pixels if stage.binary or isinstance(layer, Pool) else 1)


def takes(layer, folding, given=0):
    """How many positions at a time ``layer`` can take, and any divisor of them; of ``given`` ones, if they are."""
    if not isinstance(layer, Conv | Pool):
        return 1
    width = layer.input.width
    most = gcd(given, width if whole_rows(layer, folding) else gcd(width, folding.pixels * layer.stride[1]))
    if isinstance(layer, Pool) and layer.block:  # of whole blocks, or of parts of a block
        return max(k for k in divisors(most) if not k % layer.kernel[1] or not layer.kernel[1] % k)
    return most


def bursts(stage):
    """In one out of how many rows that it takes ``stage`` gives, and holds up what comes if nobody takes that at once.

    That is so of pools without a window. ``stage`` is None where pixels come from.
    """
    return stage.layer.kernel[0] if stage and isinstance(stage.layer, Pool) and stage.layer.block else 1


def cycles(stage, folding, taken, given):
    """Clock cycles per frame of ``stage`` in steady state, which takes and gives so many positions at a time."""
    taking = 0 if stage.joins else beats(stage.layer.input, Payload(folding.simd, taken)) * bursts(stage.sources[0])
    giving = beats(stage.output, Payload(gives(stage, folding).channels, given)) * bursts(stage)
    return max(taking, work(stage.layer, folding), giving)


@dataclass(frozen=True)
class Streams:
    """What comes from where, and how much of it at a time.

    Attributes
    ----------
    stages : list of Stage
    made, given : dict of Payload
        What each stage puts out, and what is passed on of it, of fewer positions where no more can be taken; what
        comes from the source of the pixels under None.
    consumers : Counter
        To how many inputs.
    cycles : dict of int
        Clock cycles per frame of each stage.
    """

    stages: list
    made: dict
    given: dict
    consumers: Counter
    cycles: dict


def streams(network, foldings):
    """The :class:`Streams` of ``network``, each as wide as both of its ends can be."""
    found = stages(network)
    consumers = defaultdict(list)
    for stage in found:
        for source in stage.sources:
            consumers[source].append(stage)
    made = {None: Payload(foldings[consumers[None][0].name].simd)}
    given, work_cycles = dict(made), {}
    for stage in found:
        folding, taken = foldings[stage.name], given[stage.sources[0]].pixels
        made[stage] = gives(stage, folding, taken)
        pixels = made[stage].pixels if consumers[stage] else 1  # scores leave one at a time
        for consumer in consumers[stage]:
            pixels = takes(consumer.layer, foldings[consumer.name], pixels)
        given[stage] = replace(made[stage], pixels=pixels)
        work_cycles[stage] = cycles(stage, folding, taken, pixels)
    return Streams(found, made, given, Counter({stage: len(users) for stage, users in consumers.items()}), work_cycles)


def limits(layer):
    """What pe, simd and pixels of ``layer`` have to divide."""
    match layer:
        case Conv():
            return {"pe": layer.output.channels, "simd": layer.input.channels, "pixels": layer.output.width}
        case Pool():
            return {"pe": 1, "simd": layer.input.channels, "pixels": layer.output.width}
        case TopK():
            return {"pe": 1, "simd": 1, "pixels": 1}
        case Join():
            return {"pe": 1, "simd": gcd(*(end.channels for end in layer.ends)), "pixels": 1}
        case _:
            return {"pe": 1, "simd": layer.input.channels, "pixels": 1}


def taps(layer, folding):
    """What taps of ``layer`` can be beside the ``pixels`` and ``simd`` of ``folding``."""
    found = {1}
    if isinstance(layer, Conv):
        (height, width), plain = layer.kernel, not layer.padded or layer.pad_value in layer.input.values
        if folding.pixels == layer.output.width and (plain or layer.binary):
            found.add(width)
        if folding.simd == layer.input.channels and plain:
            found.add(height * width)
    return sorted(found)


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
        if folding.taps not in taps(layers[name], folding):
            raise UserError(f"folding of {name!r}: taps is {folding.taps}; it can be 1; of a convolution also the "
                            f"kernel's width, with pixels the output's ({layers[name].output.width}), or the "
                            "kernel's area, with simd all channels and no padding but by what data can be")


def load(path):
    """Foldings, by layer name, of a JSON file ``{layer: {"pe": ..., "simd": ..., "pixels": ..., "taps": ...}}``.

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
    kinds = {field.name: field.type for field in fields(Folding)}
    for name, numbers in layers.items():
        if not isinstance(numbers, dict) or not all(kinds.get(what) is type(one) for what, one in numbers.items()):
            raise refused(f"{name!r} has {json.dumps(numbers)}")
    return {name: Folding(**numbers) for name, numbers in layers.items()}


def save(foldings, path):
    """Write ``foldings`` as :func:`load` reads them."""
    entries = (f'  "{name}": {json.dumps(asdict(folding))}' for name, folding in foldings.items())
    Path(path).write_text("{\n" + ",\n".join(entries) + "\n}\n")
