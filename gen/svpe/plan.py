"""What will be built where layers run one after another, and what is predicted of it."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property

from ..emit import emit_top
from ..hw.registers import markdown
from ..hw.svpe.accelerator import Accelerator
from ..hw.svpe.registers import OFFSETS, REGISTERS
from ..network import Network
from . import timing
from .compile import compile
from .cost import cost, units
from .records import HEAD, LAYOUTS, PARAMETERS, PATTERN
from .shape import Shape

__all__ = ["ArrayPlan"]


@dataclass(frozen=True, eq=False)
class ArrayPlan:
    """An array for a board, and a network as its program.

    Parameters
    ----------
    network : Network
    board : amaranth platform
        As :func:`boards.find` gives it.
    clock_hz : float
        Clock that the rates are predicted for.
    shape : Shape
    """

    network: Network
    board: object
    clock_hz: float
    shape: Shape

    @property
    def arch(self):
        """What kind of array this is."""
        return self.shape.form

    def identity(self, model):
        """What tells this hardware from other hardware, for JSON; it runs any model's program."""
        formats = HEAD, list(LAYOUTS.items()), PATTERN, PARAMETERS
        return [asdict(self.shape), formats]

    @cached_property
    def program(self):
        """The network as a program, for hardware of number 0."""
        return compile(self.network, self.shape)

    @cached_property
    def timing(self):
        """Predicted clocks, of the whole program and of each layer."""
        return timing.cycles(self.program, self.shape)

    def emit(self, out, build_id):
        """Write the Verilog to the folder ``out``; returns the name of the top module, and of all files."""
        return emit_top(Accelerator(self.shape, build_id), self.shape.label, out, self.board.carry_bits)

    def save(self, folder, build_id):
        """Write what belongs to the build besides Verilog."""
        (folder / "shape.json").write_text(json.dumps(asdict(self.shape), indent=2) + "\n")
        (folder / "registers.md").write_text(markdown(REGISTERS))
        self.program.built(build_id).write(folder / "program.bin")

    @property
    def interface(self):
        """What a driver has to know: where image and scores go is in program.json."""
        return {"program": "program.bin", "places": "program.json", "registers": OFFSETS,
                "scale": self.network.scale.tolist(), "offset": self.network.offset.tolist()}

    @property
    def layers(self):
        """Predictions for each layer, for the manifest; of several steps of a layer the sum."""
        return [{"layer": layer.name, "macs": layer.macs, "cycles": round(layer.clocks),
                 "share_of_peak": round(layer.share, 3),
                 "waits": {name: round(clocks) for name, clocks in layer.waits.items() if clocks >= 1}}
                for layer in self.timing.layers]

    @property
    def bottleneck(self):
        """The layer that takes longest."""
        return max(self.timing.layers, key=lambda layer: layer.clocks)

    @property
    def cycles(self):
        """Predicted cycles a frame."""
        return round(self.timing.clocks)

    @property
    def rate(self):
        """Predicted frames a second, one after the other."""
        return self.clock_hz / self.cycles

    @property
    def units(self):
        """Predicted resources of the units, equal ones together."""
        return units(self.shape)

    @property
    def cost(self):
        """Predicted resources of the whole accelerator."""
        return cost(self.shape)
