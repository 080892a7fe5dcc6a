"""What will be built, and what the cost model predicts of it."""

from dataclasses import asdict, dataclass
from functools import cached_property

from . import buffers
from .cost import converters, shell, units
from .folding import Folding, cycles, foldable, lanes
from .network import Conv, Lookup, Network, Pool, Rescale, TopK
from .resources import Resources

__all__ = ["Plan", "Stage"]


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer (with the threshold that shares its folding) and its predictions.

    ``given`` channels of its input come at a time; its window, if it has one, holds ``rows`` image rows.
    """

    layer: object
    threshold: object
    folding: Folding
    given: int
    rows: int | None

    @cached_property
    def cycles(self):
        """Clock cycles per frame."""
        return cycles(self.layer, self.folding)

    @cached_property
    def units(self):
        """Resources of each unit, by its name in the hardware; converters of its input's width are units, too."""
        taken, _ = lanes(self.layer, self.folding)
        kinds = (converters(self.layer.input.values.bits, self.given, taken)
                 | units(self.layer, self.folding, self.threshold, self.rows))
        return {f"{self.layer.name}_{kind}": resources for kind, resources in kinds.items()}

    @property
    def cost(self):
        """Resources that it takes."""
        return sum(self.units.values(), Resources())

    @property
    def output(self):
        """Tensor after the stage."""
        return (self.threshold or self.layer).output

    @property
    def arithmetic(self):
        """What it computes, in a word or two."""
        layer = self.layer
        match layer:
            case Conv():
                kinds = [str(values).replace("bipolar", "binary")
                         for values in (layer.input.values, layer.weight_values)]
                return kinds[0] if kinds[0] == kinds[1] == "binary" else " x ".join(kinds)
            case Pool():
                return f"{layer.kind} of {layer.kernel[0]}x{layer.kernel[1]}"
            case Lookup():
                return "table"
            case TopK():
                return f"best {layer.k}"
            case Rescale():
                return "rescaling"
            case _:
                return "threshold"

    def as_dict(self):
        """For the manifest."""
        resources = {name: round(amount, 1) for name, amount in self.cost.items()}
        return {"layer": self.layer.name, "input": str(self.layer.input), "output": str(self.output),
                "arithmetic": self.arithmetic, **asdict(self.folding), "cycles": self.cycles, **resources}


@dataclass(frozen=True, eq=False)
class Plan:
    """A network, folded for a board.

    Parameters
    ----------
    network : Network
    board : amaranth platform
        As :func:`boards.find` gives it.
    clock_hz : float
        Clock that the rates are predicted for.
    foldings : dict
        Layer name to folding, as :func:`gen.solver.solve` gives it.
    """

    network: Network
    board: object
    clock_hz: float
    foldings: dict

    @cached_property
    def stages(self):
        """All stages, in stream order."""
        stages, given, rows = [], None, buffers.rows(self.network, self.foldings)
        for layer, threshold in foldable(self.network).items():
            taken, gives = lanes(layer, self.foldings[layer.name])
            stages.append(Stage(layer, threshold, self.foldings[layer.name], given or taken, rows.get(layer.name)))
            given = gives
        return stages

    @property
    def bottleneck(self):
        """The stage that sets the rate."""
        return max(self.stages, key=lambda stage: stage.cycles)

    @property
    def cycles(self):
        """Predicted cycles a frame: those of the slowest stage, or of the scores, which leave one at a time."""
        return max(self.bottleneck.cycles, self.network.output.channels)

    @property
    def rate(self):
        """Predicted frames a second, one frame directly after the other."""
        return self.clock_hz / self.cycles

    @cached_property
    def units(self):
        """Predicted resources of every unit, by its name in the hardware, and of the shell around them."""
        first, last = self.stages[0], self.stages[-1]
        _, given = lanes(last.layer, last.folding)
        scores = converters(self.network.output.values.bits, given, 1)
        return {name: resources for stage in self.stages for name, resources in stage.units.items()} | {
            f"_scores_{kind}": resources for kind, resources in scores.items()} | {
            "shell": shell(first.given * self.network.input.values.bits)}

    @property
    def cost(self):
        """Predicted resources of the whole accelerator."""
        return sum(self.units.values(), Resources())
