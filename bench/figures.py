"""Figures, each with its stage and its bar: a table to read, JSON to keep."""

import json
import os
import platform
import sys

from rich.console import Console
from rich.table import Table

__all__ = ["report", "row"]


def row(what, measured, unit, bar, stage, passes):
    """One figure; ``bar`` is what was promised, in words, and ``passes`` whether it is kept."""
    return {"what": what, "measured": measured, "unit": unit, "bar": bar, "stage": stage, "passes": bool(passes)}


def report(parts, out, machine=None):
    """Print each figure as it comes, then all; write them to ``out``, and exit with 1 where a bar is missed."""
    machine = machine or f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    rows = []
    for part in parts:
        for line in part:
            rows.append(line)
            print(f"{line['what']}: {line['measured']} {line['unit']}", flush=True)
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"machine": machine, "figures": rows}, indent=1) + "\n")
    table = Table(title=f"Measured on {machine}")
    for column in ("what", "measured", "unit", "bar", "stage"):
        table.add_column(column)
    for line in rows:
        table.add_row(line["what"], f"{line['measured']:,}", line["unit"], line["bar"], line["stage"],
                      style=None if line["passes"] else "red")
    Console().print(table)
    sys.exit(not all(line["passes"] for line in rows))
