"""Command line: what a network makes of photographs."""

import warnings
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gen import zoo
from gen.errors import UserError, reported
from gen.golden import as_input, image_shape, run
from gen.importers import qonnx
from gen.network import TopK
from train import classes, files
from train.data import pictures
from train.figures import SOFTWARE, drawable, labels, png

SIZE = 900  # pixels of a photograph's longer side, as drawn
ALL = 12  # classes up to which every one gets a bar; of more, the most probable so many
TOP = 5  # classes in the table


class Answer(NamedTuple):
    """What a network says of one photograph: class numbers, best first, and their probabilities if it gives scores."""

    order: np.ndarray
    probabilities: np.ndarray | None


def main(
    photographs: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="JPEG, PNG, WebP, BMP or PPM files.")],
    net: Annotated[str, typer.Option(metavar="NAME|FILE.onnx", help="A shipped network, or a QONNX file.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to.")] = Path("."),
):
    """Classify photographs with the golden model; write PHOTO-NET.png for each: photograph, input, answer.

    The golden model computes the integers that the hardware computes, bit for bit. The middle of the photograph is
    what it sees. Probabilities are the softmax of the scores.
    """
    console = Console(highlight=False)
    with reported():
        network = qonnx.load(zoo.find(net))
        names, shape = classes.names(network), image_shape(network)
        targets = _targets(photographs, network.name, out)
        images = np.stack([pictures.read(path, shape) for path in photographs])
        answers = _answers(network, as_input(network, images))
        made = {}
        for path, target, image, answer in zip(photographs, targets, images, answers, strict=True):
            draw = partial(_draw, path.name, _photograph(path), image, network, names, answer)
            made[target.name] = png(draw, 12, 4.6)
        files.write(out, made)
    for path, target, answer in zip(photographs, targets, answers, strict=True):
        untrained = "[bold red]UNTRAINED: random weights, the answer means nothing[/]" if network.untrained else ""
        console.print(f"[bold]{escape(classes.clean(str(path), 4096))}[/]: {network.name}, golden model  {untrained}",
                      soft_wrap=True)
        console.print(_table(names, answer), end="")
        if answer.probabilities is None:
            console.print("The network puts out classes, best first: there are no probabilities.")
        console.print(f"written to {escape(classes.clean(str(target), 4096))}\n", soft_wrap=True)


def _targets(photographs, net, out):
    """Files to write, one for each photograph."""
    targets = {}
    for path in photographs:
        target = out / f"{path.stem}-{net}.png"
        if target in targets:
            raise UserError(f"{targets[target]} and {path} would both become {target}: rename one, "
                            "or classify them one after the other with another --out")
        if target.exists() and not _ours(target):
            raise UserError(f"{target} exists, and was not written by this command: move it away, or name another "
                            "folder with --out")
        targets[target] = path
    return list(targets)


def _ours(path):
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Software", "").split()[:1] == SOFTWARE.split()[:1]
    except (OSError, SyntaxError, ValueError):  # as Pillow calls what is no picture
        return False


def _answers(network, images):
    """The :class:`Answer` to each image."""
    results = run(network, images)
    if isinstance(network.layers[-1], TopK):
        return [Answer(order, None) for order in results]
    scores = results * network.scale + network.offset
    powers = np.exp(scores - scores.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    return [Answer(*pair) for pair in zip(np.argsort(-scores, kind="stable"), probabilities, strict=True)]


def _photograph(path):
    """The whole picture, in colours, small enough to be drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to say `pictures.read` has said
        with Image.open(path) as image:
            image.draft(None, (SIZE, SIZE))
            width, height = ImageOps.exif_transpose(image).size
    factor = min(1, SIZE / max(width, height))
    return pictures.read(path, (max(1, round(height * factor)), max(1, round(width * factor)), 3))


def _table(names, answer):
    """The best classes, for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("", justify="right")
    table.add_column("class")
    if answer.probabilities is not None:
        table.add_column("probability", justify="right")
    for place, number in enumerate(answer.order[:TOP], 1):
        row = [str(place), escape(names[number])]
        if answer.probabilities is not None:
            row.append(f"{100 * answer.probabilities[number]:.1f} %")
        table.add_row(*row, style="bold" if place == 1 else None)
    return table


def _draw(name, photograph, image, network, names, answer, figure, theme):
    names, best = labels(names), answer.order[0]
    aspect = photograph.shape[1] / photograph.shape[0]
    left, middle, right = figure.subplots(1, 3, width_ratios=(min(max(aspect, 0.7), 1.6), 1, 1.25))
    _show(left, photograph, drawable(classes.clean(name), 40))
    left.add_patch(_frame(photograph, image, edgecolor=theme.second, fill=False, linewidth=2, clip_on=False))
    height, width, channels = image.shape
    _show(middle, image, f"what the network sees: {width} x {height}, {'grey' if channels == 1 else 'colour'}")
    middle.spines[:].set(visible=True, color=theme.second, linewidth=2)
    if answer.probabilities is None:
        _list(right, names, answer, theme)
    else:
        _bars(right, names, answer, theme)
    sure = "" if answer.probabilities is None else f", {100 * answer.probabilities[best]:.1f} %"
    untrained = " (UNTRAINED)" if network.untrained else ""
    figure.suptitle(f"{network.name}{untrained}, golden model: {names[best]}{sure}", fontsize=14, fontweight="bold")
    if network.untrained:
        figure.supxlabel("UNTRAINED: random weights, the answer means nothing", color=theme.warning, fontweight="bold")


def _show(axis, image, title):
    """Draw the pixels of ``image``, grey or in colours, as squares."""
    axis.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, "gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, loc="center", fontsize=10, fontweight="normal")
    axis.set_xticks(())
    axis.set_yticks(())
    axis.spines[:].set_visible(False)


def _frame(photograph, image, **style):
    """Outline of what `pictures.fit` cuts out of the middle."""
    height, width, _ = photograph.shape
    ratio = image.shape[1] / image.shape[0]
    inner = min(width, height * ratio), min(height, width / ratio)
    corner = (width - inner[0]) / 2 - 0.5, (height - inner[1]) / 2 - 0.5
    return Rectangle(corner, *inner, **style)


def _bars(axis, names, answer, theme):
    """Probabilities of all classes, or of the first ones if there are many."""
    shown = np.arange(len(names)) if len(names) <= ALL else answer.order[:ALL]
    percent = 100 * answer.probabilities[shown]
    colours = [theme.second if number == answer.order[0] else theme.main for number in shown]
    axis.barh(range(len(shown)), percent, color=colours, height=0.72)
    axis.set_yticks(range(len(shown)), [names[number] for number in shown])
    axis.invert_yaxis()
    for place, value in enumerate(percent):
        axis.annotate(f"{value:.1f} %", (value, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_xlim(0, 118)
    axis.set_xticks((0, 25, 50, 75, 100))
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("%")
    most = "" if len(shown) == len(names) else f", the first {ALL} of {len(names):,}"
    axis.set_title(f"probability: softmax of the scores{most}", fontsize=10, fontweight="normal", loc="center")


def _list(axis, names, answer, theme):
    """Classes, best first, of a network that gives nothing else."""
    shown = answer.order[:ALL]
    for place, number in enumerate(shown):
        axis.text(0.1, 0.95 - place / max(6, len(shown)), f"{place + 1}.  {names[number]}", va="top",
                  fontsize=14 if place == 0 else 11, color=theme.second if place == 0 else theme.ink)
    axis.set_title("classes, best first (the network gives no scores)", fontsize=10, fontweight="normal", loc="center")
    axis.set_axis_off()


if __name__ == "__main__":
    typer.run(main)
