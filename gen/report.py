"""What the command line shows of a build."""

import shlex
from contextlib import contextmanager
from time import perf_counter

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .solver import SHARE

__all__ = ["Report"]

NAMES = {"lut": "LUT", "ff": "FF", "bram": "BRAM36", "dsp": "DSP", "uram": "URAM"}


class Report:
    """Prints steps as they pass, then what was built. ``quiet`` prints nothing."""

    def __init__(self, quiet=False):
        self.console = Console(quiet=quiet, highlight=False)

    @contextmanager
    def step(self, name):
        """Show ``name`` while the block runs, and how long it took."""
        start = perf_counter()
        with self.console.status(name):
            yield
        self.console.print(f"  {name:<44} {perf_counter() - start:6.1f} s")

    def model(self, network, net, powers=None):
        """The model, and what its file says of itself; ``powers``: bits that its weights were rounded to, if so."""
        claims = ", ".join(f"{name} {value}" for name, value in network.metadata.items())
        self.console.print(f"[bold]{escape(net)}[/]: {network.macs / 1e6:,.1f} million multiply-accumulates a frame"
                           + (f"; the file says: {escape(claims)}" if claims else ""))
        if powers:
            self.console.print(f"[yellow]Weights rounded[/] to powers of two of {powers} bits: another network. "
                               f"Its accuracy: python -m gen.golden --net {escape(net)} --powers {powers}",
                               soft_wrap=True)
        if network.untrained:
            self.console.print("[bold red]UNTRAINED:[/] the model file says that its weights were never "
                               "trained. The design is real, its answers are not.")

    def plan(self, plan):
        """Every layer's folding and predicted cost, the bottleneck and the rate."""
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
        for heading in ("layer", "output", "arithmetic"):
            table.add_column(heading, overflow="fold")  # where the terminal is narrow, these lose width, not numbers
        for heading in ("folding", "cycles", "LUT", "BRAM36", "DSP"):
            table.add_column(heading, no_wrap=True, justify="right")
        for stage in plan.stages:
            cost = stage.cost
            table.add_row(
                stage.layer.name, "x".join(map(str, stage.output.shape)), stage.arithmetic,
                str(stage.folding), f"{stage.cycles:,}",
                f"{cost.lut:,.0f}", f"{cost.bram:,.1f}", f"{cost.dsp:,.0f}",
                style="yellow" if stage is plan.bottleneck else None)
        self.console.print(table, end="")
        self.console.print("Folding: outputs x inputs x pixels at once. Predicted (cost model):")
        slowest, clock = plan.bottleneck, f"{plan.clock_hz / 1e6:g} MHz"
        self.console.print(f"[bold]{plan.rate:,.0f} frames/s[/] at {clock}; the bottleneck is "
                           f"[yellow]{slowest.layer.name}[/], {slowest.cycles:,} cycles a frame")
        self._budget(plan)

    def array(self, plan):
        """The array, every layer's clocks and what it waits for, and the rate."""
        shape = plan.shape
        size = f"{shape.lanes} outputs x {shape.chains} rows x {shape.taps} pixels at once"
        self.console.print(f"[bold]{shape.form}[/] array of {size}, {shape.bits}-bit weights; it runs one layer after "
                           "another from memory")
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("layer", overflow="fold")
        for heading in ("million MACs", "cycles", "of peak"):
            table.add_column(heading, no_wrap=True, justify="right")
        table.add_column("waits most for", no_wrap=True)
        for layer in plan.timing.layers:
            cause, clocks = max(layer.waits.items(), key=lambda wait: wait[1], default=("", 0))
            table.add_row(
                layer.name, f"{layer.macs / 1e6:,.1f}", f"{layer.clocks:,.0f}", f"{layer.share:.0%}",
                f"{cause} {clocks / layer.clocks:.0%}" if clocks > layer.clocks / 100 else "",
                style="yellow" if layer is plan.bottleneck else None)
        self.console.print(table, end="")
        self.console.print(f"Predicted: [bold]{plan.rate:,.1f} frames/s[/] at {plan.clock_hz / 1e6:g} MHz, "
                           f"{plan.cycles:,} cycles a frame, {plan.timing.share:.0%} of the peak; resources by the "
                           "cost model")
        self._budget(plan)

    def _budget(self, plan):
        for name, amount in plan.cost.items():
            if whole := getattr(plan.board.budget, name):
                self.console.print(f"  {NAMES[name]:<7}{amount:>10,.0f} of {whole:>9,}  {amount / whole:6.1%}"
                                   f"  (up to {getattr(SHARE, name):.0%} is used)")

    def result(self, folder, simulate):
        """Where the files are, and what to do next; ``simulate`` is the command that simulates them."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        name, place = escape(str(folder)), escape(shlex.quote(str(folder / "vivado")))
        self.console.print(f"[bold green]Written:[/] {name}, {len(files)} files, {size / 1e6:,.1f} MB\n"
                           f"Next:    {escape(simulate)}\n"
                           f"         cd {place} && vivado -mode batch -source synth.tcl", soft_wrap=True)
