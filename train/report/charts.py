"""Charts of a run: its curves, its confusion matrix, its classes. Each is a function for `train.figures.png`."""

import math
from functools import partial

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.ticker import MaxNLocator, PercentFormatter

from train.figures import labels, png

__all__ = ["classes", "confusion", "curves", "shares"]

NUMBERED = 20  # classes up to which a confusion matrix has numbers in its cells
NAMED = 34  # names beside it, at most
EXTRA = {
    "rate": ("Learning rate", "", 1),
    "flips": ("Binary weights whose sign changed in the epoch", "%", 100),
    "uncertain": ("Weights that are uncertain, no signs yet", "%", 100),
}  # by column of the log: title, unit, what to multiply with
COLUMN, BARS = 25, 100  # classes one below the other; classes in all


def shares(matrix):
    """The rows of a confusion matrix in per cent; nan for a class without images."""
    images = matrix.sum(1, keepdims=True)
    return np.divide(100.0 * matrix, images, out=np.full(matrix.shape, np.nan), where=images > 0)


def curves(columns, theme, tested=None):
    """Cross-entropy, validation accuracy and learning rate by epoch.

    Parameters
    ----------
    columns : dict of str to list of float
        Of a `train.report.results.Results`.
    theme : train.figures.Theme
    tested : float, optional
        Accuracy of the golden model on the test images, in %: drawn, too, if given.

    Returns
    -------
    bytes
        A PNG file.
    """
    return png(partial(_curves, columns, tested), 8, 5.6 + 1.6 * len(_extra(columns)), theme)


def confusion(matrix, names, theme):
    """Confusion matrix: a PNG file; arguments as for `classes`."""
    size = min(4 + 0.3 * len(names), 9)
    return png(partial(_confusion, matrix, labels(names)), size + 1.1, size, theme)


def classes(matrix, names, theme):
    """Accuracy of every class.

    Parameters
    ----------
    matrix : int array, shape (classes, classes)
        Images by true class and answer.
    names : list of str
        Of the classes.
    theme : train.figures.Theme

    Returns
    -------
    bytes
        A PNG file.
    """
    rows = min(COLUMN, len(names))
    width = 8 if len(names) <= COLUMN else 12
    return png(partial(_classes, matrix, labels(names)), width, 1.3 + 0.27 * rows, theme)


def _curves(columns, tested, figure, theme):
    extra = _extra(columns)
    panels = figure.subplots(2 + len(extra), sharex=True, height_ratios=[3, 3, *[1.6] * len(extra)])
    epochs, percent = columns["epoch"], columns["accuracy"]
    line = {"color": theme.main, "marker": "o" if len(epochs) < 40 else "", "markersize": 3.5}
    panels[0].plot(epochs, columns["loss"], **line)
    panels[0].set_title("Cross-entropy: training images, mean of the epoch")
    panels[0].set_ylabel("nats")
    panels[1].plot(epochs, percent, **line, label=f"validation images; last epoch: {percent[-1]:.2f} %")
    if tested is not None:
        panels[1].axhline(tested, color=theme.second, linestyle="--", linewidth=1.3,
                          label=f"test images, golden model, after the last epoch: {tested:.2f} %")
    panels[1].legend(loc="lower right")
    panels[1].set_title("Accuracy: held-out validation images, network as it trains (floating point)")
    panels[1].set_ylabel("%")
    for panel, (name, (title, unit, factor)) in zip(panels[2:], extra.items(), strict=True):
        panel.plot(epochs, [factor * value for value in columns[name]], **line)
        panel.set_title(title)
        panel.set_ylabel(unit)
        panel.set_ylim(bottom=0)
    for panel in panels:
        panel.grid(axis="y")
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True, min_n_ticks=1))
    figure.align_ylabels(panels)


def _extra(columns):
    """Of `EXTRA` what the log has, and what is not 0 all the time."""
    return {name: text for name, text in EXTRA.items() if any(columns.get(name, ()))}


def _confusion(matrix, names, figure, theme):
    axis, percent, count = figure.subplots(), shares(matrix), len(names)
    colours = LinearSegmentedColormap.from_list("share", [theme.paper, theme.main])
    picture = axis.imshow(np.nan_to_num(percent), colours, PowerNorm(0.5, 0, 100), interpolation="nearest")
    step, numbered = math.ceil(count / NAMED), count <= NUMBERED
    size = {"fontsize": 10 if numbered else 7}
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if numbered else {"rotation": 90}
    axis.set_xticks(range(0, count, step), names[::step], **size, **slanted if max(map(len, names)) > 3 else {})
    axis.set_yticks(range(0, count, step), names[::step], **size)
    axis.tick_params(length=0 if step == 1 else 3)
    for place, images in np.ndenumerate(matrix) if numbered else ():
        if images:
            dark = percent[place] > 30
            axis.text(*place[::-1], f"{images}", ha="center", va="center", fontsize=9 if count <= 12 else 7,
                      color=theme.paper if dark else theme.ink)
    axis.spines[:].set_visible(True)
    axis.set_xlabel("answer of the golden model")
    axis.set_ylabel("true class" + (f" (one name in {step} is written)" if step > 1 else ""))
    axis.set_title(f"Confusion matrix: golden model, {matrix.sum():,} test images", loc="center")
    bar = figure.colorbar(picture, ax=axis, shrink=0.8, aspect=30, ticks=(0, 1, 5, 10, 25, 50, 75, 100),
                          format=PercentFormatter(decimals=0, symbol=" %"))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)


def _classes(matrix, names, figure, theme):
    percent, images, mean = np.diag(shares(matrix)), matrix.sum(1), 100 * np.trace(matrix) / matrix.sum()
    order = range(len(names))
    if len(names) > COLUMN:
        order = np.argsort(percent, kind="stable")[:BARS]  # nan last
    parts = [order[k : k + COLUMN] for k in range(0, len(order), COLUMN)]
    axes = figure.subplots(1, len(parts), sharex=True, squeeze=False)[0]
    figure.get_layout_engine().set(wspace=0.06)
    for axis, part in zip(axes, parts, strict=True):
        places = range(len(part))
        axis.barh(places, np.nan_to_num(percent[part]), color=theme.main, height=0.72)
        axis.axvline(mean, color=theme.second, linestyle="--", linewidth=1.3)
        axis.set_yticks(places, [names[k] for k in part])
        axis.set_ylim(len(parts[0]) - 0.4, -0.6)
        axis.set_xlim(0, 100)
        axis.set_xticks((0, 25, 50, 75, 100))
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
        axis.set_xlabel("%")
        for place, k in zip(places, part, strict=True):
            text = f"{percent[k]:.1f}" if images[k] else "no images"
            if len(parts) == 1 and images[k]:
                text += f" %   ({matrix[k, k]:,} of {images[k]:,})"
            axis.annotate(text, (100, place), (6, 0), textcoords="offset points", va="center", annotation_clip=False,
                          fontsize=9 if len(parts) == 1 else 8)
    what = "" if len(order) == len(names) else f", the lowest {BARS} of {len(names):,} classes"
    sorted_by = ", lowest first" if len(parts) > 1 else ""
    figure.suptitle(f"Accuracy by class: golden model, {matrix.sum():,} test images{what}{sorted_by} "
                    f"(dashed: all, {mean:.2f} %)", x=0.01, ha="left", fontsize=11, fontweight="bold")
