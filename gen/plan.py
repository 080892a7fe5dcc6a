"""What will be built, and what the cost model predicts of it."""

from dataclasses import asdict, dataclass
from functools import cached_property

from . import buffers, folding
from .cost import converters, fifo, fork, reorder, shell, units
from .emit import emit
from .folding import Folding, Payload, streams
from .hw import registers
from .network import Conv, Join, Lookup, Network, Pool, Rescale, TopK
from .resources import Resources
from .stages import Stage

__all__ = ["Plan", "PlannedStage"]


@dataclass(frozen=True, eq=False)
class PlannedStage:
    """A stage, folded, and its predictions.

    Payloads ``taken`` come from each source, ``made`` are put out, and passed on as ``given``; its window, if it has
    one, holds ``rows`` image rows, the queue of each branch that it joins ``queues`` pixels. It goes on to
    ``consumers`` stages, and takes ``cycles`` clock cycles per frame.
    """

    stage: Stage
    folding: Folding
    taken: list
    made: Payload
    given: Payload
    rows: int | None
    queues: tuple
    consumers: int
    cycles: int

    @property
    def layer(self):
        """The stage's layer."""
        return self.stage.layer

    @property
    def name(self):
        """The layer's."""
        return self.layer.name

    @property
    def output(self):
        """Tensor after it."""
        return self.stage.output

    @cached_property
    def units(self):
        """Resources of each unit, by its name in the hardware; converters of its input's width are units, too."""
        simd = self.folding.simd
        kinds = units(self.stage, self.folding, self.taken[0].pixels, self.rows)
        for k, (tensor, taken) in enumerate(zip(self.stage.inputs, self.taken, strict=True)):
            branch = f"branch{k}_" * self.stage.joins
            if self.stage.joins and self.queues[k]:
                kinds[f"{branch}fifo"] = fifo(simd * tensor.values.bits, self.queues[k] * tensor.channels // simd)
            for kind, resources in converters(tensor.values.bits, taken.channels, simd, taken.pixels).items():
                kinds[branch + kind] = resources
        if self.made != self.given:
            kinds["reorder"] = reorder(self.stage, self.made, self.given, self.cycles)
        if self.consumers > 1:
            bits = self.given.channels * self.given.pixels * self.output.values.bits
            kinds["fork"] = fork(self.consumers, bits)
        return {f"{self.layer.name}_{kind}": resources for kind, resources in kinds.items()}

    @property
    def cost(self):
        """Resources that it takes."""
        return sum(self.units.values(), Resources())

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
            case Join():
                return f"{type(layer).__name__.lower()} of {len(layer.branches)}"
            case _:
                return "threshold"

    def as_dict(self):
        """For the manifest."""
        resources = {name: round(amount, 1) for name, amount in self.cost.items()}
        return {"layer": self.layer.name, "input": str(self.layer.input), "output": str(self.output),
                "arithmetic": self.arithmetic, **asdict(self.folding), "cycles": self.cycles, **resources}


@dataclass(frozen=True, eq=False)
class Plan:
    """A network, folded for a board, as a stream through all of its layers.

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
    def streams(self):
        """As :func:`gen.folding.streams` gives them."""
        return streams(self.network, self.foldings)

    @cached_property
    def stages(self):
        """All stages with what is predicted of each, in stream order."""
        flow, sizes = self.streams, buffers.sizes(self.network, self.foldings)
        return [PlannedStage(stage, self.foldings[stage.name], [flow.given[source] for source in stage.sources],
                             flow.made[stage], flow.given[stage], sizes.rows.get(stage.name),
                             sizes.queues.get(stage.name, ()), flow.consumers[stage], flow.cycles[stage])
                for stage in flow.stages]

    arch = "stream"

    def identity(self, model):
        """What tells this hardware from other hardware, for JSON; ``model``: what tells the model from others."""
        return [*model, sorted((name, str(chosen)) for name, chosen in self.foldings.items())]

    def emit(self, out, build_id):
        """Write the Verilog to the folder ``out``; returns the name of the top module, and of all files."""
        return emit(self.network, self.foldings, out, build_id, self.board.carry_bits if self.board else 8)

    def save(self, folder, build_id):
        """Write what belongs to the build besides Verilog."""
        folding.save(self.foldings, folder / "folding.json")
        (folder / "registers.md").write_text(registers.markdown())

    @property
    def interface(self):
        """What a driver has to know: order and codes of the data, what scores mean, and where registers are."""
        network = self.network
        chosen = isinstance(network.layers[-1], TopK)
        meaning = {"meaning": "class numbers, best first"} if chosen else {
            "meaning": "score * scale + offset", "scale": network.scale.tolist(), "offset": network.offset.tolist()}
        return {
            "input": {"shape": list(network.input.shape), "values": str(network.input.values),
                      "order": "row by row, pixel by pixel, channel 0 first; tlast on the last beat of a frame"},
            "output": {"count": network.output.channels, "values": str(network.output.values)} | meaning,
            "registers": registers.OFFSETS,
        }

    @property
    def layers(self):
        """Predictions for each layer, for the manifest."""
        return [stage.as_dict() for stage in self.stages]

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
        flow = self.streams
        scores = converters(self.network.output.values.bits, flow.given[flow.stages[-1]].channels, 1)
        pixels, copies = flow.given[None].channels, flow.consumers[None]
        bits = pixels * self.network.input.values.bits
        found = {"input_fork": fork(copies, bits)} if copies > 1 else {}
        for stage in self.stages:
            found |= stage.units
        return found | {f"_scores_{kind}": resources for kind, resources in scores.items()} | {
            "shell": shell(self.network, bits)}

    @property
    def cost(self):
        """Predicted resources of the whole accelerator."""
        return sum(self.units.values(), Resources())
