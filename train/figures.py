"""How pictures look: one style, light and dark, and whatever text in them as far as the font can draw it."""

from functools import cache
from io import BytesIO
from typing import NamedTuple

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from gen import __version__

__all__ = ["DARK", "LIGHT", "SOFTWARE", "Theme", "drawable", "labels", "png"]

SOFTWARE = f"popweave {__version__}"  # in every picture: by this we know our own
FONT = "DejaVu Sans"  # comes with matplotlib


class Theme(NamedTuple):
    """Colours: of the paper, of text, of what steps back, of data, of a second series, of warnings."""

    paper: str
    ink: str
    faint: str
    main: str
    second: str
    warning: str


LIGHT = Theme("#ffffff", "#1f2328", "#d0d7de", "#2166b8", "#d1660a", "#c4221b")
DARK = Theme("#16191e", "#e3e6ea", "#3a414b", "#69aef2", "#f0a04b", "#ff7b72")


def png(draw, width, height, theme=LIGHT):
    """Draw a picture.

    Parameters
    ----------
    draw : callable
        Is given an empty figure and the theme.
    width, height : float
        In inches; 10 points are the size of text.
    theme : Theme

    Returns
    -------
    bytes
        A PNG file.
    """
    with style.context(_settings(theme), after_reset=True):
        figure, file = Figure(figsize=(width, height), layout="constrained"), BytesIO()
        draw(figure, theme)
        figure.savefig(file, format="png", dpi=150, metadata={"Software": SOFTWARE})
    return file.getvalue()


def drawable(text, length=26):
    """``text`` with a box for each character that the font lacks, and cut to ``length``."""
    text = "".join(c if c.isprintable() and ord(c) in _glyphs() else "\N{WHITE SQUARE}" for c in text)
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def labels(names):
    """Names of classes, drawable; the number instead of a name that would be boxes only."""
    texts = [drawable(name) for name in names]
    return [text if text.strip("\N{WHITE SQUARE} ") else f"class {k}" for k, text in enumerate(texts)]


@cache
def _glyphs():
    return frozenset(get_font(findfont(FONT)).get_charmap())


def _settings(theme):
    quiet = dict.fromkeys(("axes.edgecolor", "grid.color"), theme.faint)
    text = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), theme.ink)
    marks = dict.fromkeys(("xtick.color", "ytick.color"), theme.faint)
    return quiet | text | marks | {
        "figure.facecolor": theme.paper, "axes.facecolor": theme.paper, "savefig.facecolor": theme.paper,
        "font.family": FONT, "font.size": 10, "text.parse_math": False, "axes.formatter.limits": (-5, 6),
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 8,
        "grid.linewidth": 0.7, "lines.linewidth": 1.8,
        "legend.facecolor": theme.paper, "legend.framealpha": 0.85, "legend.edgecolor": "none",
        "figure.constrained_layout.w_pad": 0.1, "figure.constrained_layout.h_pad": 0.1,
    }  # fmt: skip
