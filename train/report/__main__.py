"""Command line: what a run came to, as pictures and one page."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from jinja2 import StrictUndefined, Template
from rich.console import Console
from rich.markup import escape

from gen.errors import reported
from train import files
from train.classes import clean
from train.figures import DARK, LIGHT, SOFTWARE
from train.report import charts, results

CONFUSIONS = 8  # most frequent ones, in the page


def main(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that train.run wrote.")]):
    """Write curves.png, confusion.png, classes.png and report.html, which holds all of them, into RUN.

    While the run is going on there is only its log: then only the curves.
    """
    with reported():
        found = results.load(run)
        light, dark = (_pictures(found, theme) for theme in (LIGHT, DARK))
        page = _page(run, found, light, dark)
        files.write(run, light | {"report.html": page.encode("utf-8", "replace")})
    written = f"written to {escape(clean(str(run), 4096))}: {', '.join((*light, 'report.html'))}"
    Console(highlight=False).print(_summary(found), written, sep="\n", soft_wrap=True)


def _pictures(found, theme):
    """PNG files by name."""
    pictures = {}
    if found.curves:
        tested = found.facts["golden_accuracy"] if found.facts else None
        pictures["curves.png"] = charts.curves(found.curves, theme, tested)
    if found.facts:
        for name, chart in (("confusion.png", charts.confusion), ("classes.png", charts.classes)):
            pictures[name] = chart(found.confusion, found.facts["classes"], theme)
    return pictures


def _summary(found):
    """One line for the terminal."""
    if not found.facts:
        last = found.curves["epoch"][-1], found.curves["accuracy"][-1]
        return (f"no network here, as the run is still going on or of full precision: {last[0]} epochs, validation "
                f"accuracy {last[1]:.2f} %; its curves only")
    facts, images = found.facts, f"{found.confusion.sum():,} test images"
    name = escape(clean(facts["net"]))
    if not facts["trained"]:
        return f"{name}: [bold red]untrained[/], random weights; {images}"
    return (f"{name}: golden model {facts['golden_accuracy']:.2f} %, network as trained {facts['accuracy']:.2f} % "
            f"of {images}; {facts['disagreements']:,} scores differ")


def _page(run, found, light, dark):
    """The page: one file that needs no other."""
    template = Template(Path(__file__).with_name("page.html").read_text("utf-8"), autoescape=True,
                        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    embedded = {name: tuple(base64.b64encode(each[name]).decode() for each in (light, dark)) for name in light}
    seconds = found.facts["seconds"] if found.facts else found.curves.get("seconds", [None])[-1]
    return template.render(
        title=clean(found.facts["net"] if found.facts else run.resolve().name), software=SOFTWARE, facts=found.facts,
        curves=found.curves, pictures=embedded, time=None if seconds is None else timedelta(seconds=round(seconds)),
        images=0 if found.facts is None else int(found.confusion.sum()),
        classes=_classes(found) if found.facts else [], confused=_confused(found) if found.facts else [])


def _classes(found):
    """(name, images, right, in %) of every class; None in % of no images."""
    rows = zip(found.facts["classes"], found.confusion.sum(1), np.diag(found.confusion), strict=True)
    return [(name, int(images), int(right), 100 * right / images if images else None) for name, images, right in rows]


def _confused(found):
    """(true class, answer, images, in %) of the most frequent errors."""
    names, wrong = found.facts["classes"], found.confusion.copy()
    np.fill_diagonal(wrong, 0)
    most = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    places = [place for place in zip(*np.unravel_index(most, wrong.shape), strict=True) if wrong[place]]
    percent = charts.shares(found.confusion)
    return [(names[true], names[answer], int(wrong[true, answer]), percent[true, answer]) for true, answer in places]


if __name__ == "__main__":
    typer.run(main)
