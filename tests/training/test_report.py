"""The report of a run: what it says and shows, what it escapes, and the runs that it refuses."""

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from train import figures
from train.loop import COLUMNS
from train.report import __main__ as report
from train.report import charts

FACTS = {
    "net": "tiny", "dataset": "cifar10", "trained": True, "recipe": {"rate": 0.01, "quantiser": "ste"}, "epochs": 3,
    "seed": 1, "seconds": 75, "machine": "2 cores, CPU", "command": "python -m train.run --net tiny", "accuracy": 81.25,
    "golden_accuracy": 80.0, "disagreements": 2, "sha256": "0123", "classes": ["cat", "dog"],
    "confusion": [[7, 1], [3, 9]], "curve": [50.0, 70.0, 81.0], "layers": "8C3 MP4 2",
}  # fmt: skip
LOG = "epoch,loss,accuracy,rate,seconds\n1,0.9,50,0.01,25\n2,0.6,70,0.005,50\n3,0.4,81,0.001,75\n"
PICTURES = ["classes.png", "confusion.png", "curves.png"]


@pytest.fixture
def run(tmp_path):
    """Write a run's files, and return its folder."""

    def write(log=LOG, **facts):
        if log is not None:
            (tmp_path / "log.csv").write_text(log)
        (tmp_path / "tiny.json").write_text(json.dumps(FACTS | facts))
        return tmp_path

    return write


def call(folder):
    """Report a run; what it says, and the page."""
    result = _invoke(folder)
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split()), (folder / "report.html").read_text("utf-8")


def refusal(folder):
    """Report a run in vain; what it says."""
    before = set(folder.parent.rglob("*"))
    result = _invoke(folder)
    assert result.exit_code == 2, result.output
    assert set(folder.parent.rglob("*")) == before
    assert result.stderr.startswith("Error: ")
    return result.stderr


def _invoke(folder):
    app = report.typer.Typer()
    app.command()(report.main)
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(folder)])


def written(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".png", ".html"))


def test_finished_run(run):
    said, page = call(run())
    assert "golden model 80.00 %, network as trained 81.25 % of 20 test images; 2 scores differ" in said
    assert written(run()) == [*PICTURES, "report.html"]
    for name in PICTURES:
        with Image.open(run() / name) as image:
            image.load()
            assert min(image.size) > 250 and image.info["Software"] == figures.SOFTWARE
    for text in ("80.00 %", "81.25 %", FACTS["command"], "0:01:15", "2 cores, CPU", "quantiser", "0123", "8C3 MP4 2"):
        assert text in page
    frequent = re.search(r"Most frequent errors.*?</table>", page, re.DOTALL)[0]
    assert re.findall(r"<td[^>]*>(.*?)</td>", frequent) == ["dog", "cat", "3", "25.0 %", "cat", "dog", "1", "12.5 %"]


def test_page_stands_alone(run):
    _, page = call(run())
    assert set(re.findall(r'(?:src|srcset|href|url)\s*[=(]\s*"?([^">]{0,22})', page)) == {"data:image/png;base64,"}
    assert page.count("data:image/png;base64,") == 2 * len(PICTURES)  # light and dark
    assert page.count("prefers-color-scheme: dark") == 1 + len(PICTURES)


def test_reported_again(run):
    folder = run()
    assert call(folder) == call(folder)


def test_going_on(run):
    folder = run()
    (folder / "tiny.json").unlink()
    said, page = call(folder)
    assert "still going on or of full precision: 3 epochs, validation accuracy 81.00 %" in said
    assert written(folder) == ["curves.png", "report.html"]
    assert "still going on" in page and "Confusion" not in page


def test_gone_on_with_more_epochs(run):
    assert "of full precision: 3 epochs" in call(run(epochs=2))[0]


def test_untrained(run):
    folder = run(log=None, trained=False, epochs=0, accuracy=None, golden_accuracy=None)
    said, page = call(folder)
    assert "untrained" in said and "Untrained: random weights" in page
    assert written(folder) == ["classes.png", "confusion.png", "report.html"]


def test_untrained_with_scores_of_no_classes(run):
    assert "its scores are not the classes of cifar10: there is nothing to report" in refusal(
        run(log=None, trained=False, epochs=0, accuracy=None, golden_accuracy=None, classes=None, confusion=None))


def test_text_is_escaped(run):
    evil = "<script>alert(1)</script>\ud800"
    facts = {key: f"{evil}{key}" for key in ("net", "dataset", "machine", "command", "sha256")}
    _, page = call(run(**facts, classes=[evil, "\x1b[31m\u202e$\\frac{$ & 猫"], recipe={evil: [evil]}))
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;") > 8


@pytest.mark.parametrize("names", [
    ["猫", "犬"], ["", " "], ["\ud800", "🐱" * 500], ["$x$", "$"], ["a\nb\0c", "\u0301\u200f"], ["שלום", "हिन्दी"],
])
def test_any_text_is_drawn(names, run):
    call(run(classes=names))  # pytest makes errors of matplotlib's warnings


def test_names_that_the_font_lacks():
    assert figures.labels(["cat", "猫", "cat 猫", ""]) == ["cat", "class 1", "cat \N{WHITE SQUARE}", "class 3"]


@pytest.mark.parametrize("count", [1, 2, 10, 26, 100, 300])
def test_any_number_of_classes(count, run):
    matrix = np.random.default_rng(1).integers(0, 50, (count, count)) + np.eye(count, dtype=int)
    call(run(classes=[f"class number {k}" for k in range(count)], confusion=matrix.tolist()))
    with Image.open(run() / "confusion.png") as image:
        assert max(image.size) <= 1600


def test_class_without_images(run):
    assert np.isnan(charts.shares(np.array([[1, 3], [0, 0]]))[1]).all()
    _, page = call(run(confusion=[[7, 1], [0, 0]]))
    assert '<td>dog</td><td class="number">0</td>' in page


@pytest.mark.parametrize("log", [
    "epoch,loss,accuracy\n1,0.9,50\n2,0.6,70\n3,0.5,71\n",
    "epoch,loss,accuracy,rate,flips,uncertain,seconds\n3,0.9,50,1e-9,0.25,0.5,25\n",
    "epoch,loss,accuracy,rate,seconds\n2,nan,10,0,1\n3,nan,10,0,2\n",
    "epoch,loss,accuracy,rate,seconds\n2,inf,10,0.1,1\n3,1,nan,0.1,2\n",
])
def test_other_logs(log, run):
    assert "curves.png" in call(run(log=log))[0]


@pytest.mark.parametrize(("log", "message"), [
    (None, r"log\.csv is missing, but tiny\.json tells of a training"),
    ("", r"log\.csv: line 1 is ''; it has to name the columns: epoch,loss"),
    ("1,0.9,50,25\n", r"log\.csv: line 1 is '1,0\.9,50,25'"),
    ("epoch,loss,accuracy,rate,seconds\n", r"log\.csv: no epoch has ended yet"),
    (LOG + "4,0.3\n", r"log\.csv: line 5 is '4,0\.3', not 5 numbers"),
    (LOG + "4,0.3,x,0,1\n", r"log\.csv: line 5 is"),
    (LOG + "\x1b[31m,0.3,1,0,1\n", r"log\.csv: line 5 is '\N{REPLACEMENT CHARACTER}"),
    (LOG + "4," + "9" * 200_000 + ",1,0,1\n", r"log\.csv is damaged: field larger"),
    ("\0" * 100, r"log\.csv"),
])
def test_broken_logs(log, message, run):
    assert re.search(message, refusal(run(log=log)))


def test_log_of_bytes(run):
    folder = run()
    (folder / "log.csv").write_bytes(b"epoch,loss,accuracy\n1,\xff\xfe,3\n")
    assert "log.csv is damaged" in refusal(folder)


@pytest.mark.parametrize(("facts", "message"), [
    ({"confusion": [[1, 2], [3]]}, "'confusion' has to be 2 rows of 2 counts"),
    ({"confusion": [[1, 2]]}, "'confusion' has to be 2 rows"),
    ({"confusion": [[1, 2], [3, -4]]}, "'confusion' has to be"),
    ({"confusion": [[1, 2], [3, 10**30]]}, "'confusion' has to be"),
    ({"confusion": [[0, 0], [0, 0]]}, "'confusion' has to be"),
    ({"confusion": [["1", "2"], ["3", "4"]]}, "'confusion' has to be"),
    ({"confusion": [], "classes": []}, "'confusion' has to be"),
    ({"confusion": "x"}, "'confusion' is \"x\", which cannot be"),
    ({"accuracy": "81"}, "'accuracy' is \"81\""),
    ({"accuracy": None}, "trained, but without accuracy"),
])
def test_broken_facts(facts, message, run):
    assert message in refusal(run(**facts))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"net": "tiny"}'])
def test_broken_json(content, run):
    folder = run()
    (folder / "tiny.json").write_bytes(content)
    assert "tiny.json" in refusal(folder)


def test_older_run(run):
    folder = run()
    facts = {key: value for key, value in FACTS.items() if key != "confusion"}
    (folder / "tiny.json").write_text(json.dumps(facts))
    assert "has no 'confusion': an earlier version wrote it; give the command of the run again" in refusal(folder)


def test_no_run(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "neither log.csv nor" in refusal(tmp_path / "empty")


def test_two_networks(run):
    folder = run()
    (folder / "other.json").write_text("{}")
    assert "other.json, tiny.json" in refusal(folder)


def test_log_of_the_training_loop(run):
    """Its own columns are understood."""
    log = io.StringIO()
    csv.writer(log).writerows([COLUMNS, [3, *[0.5] * (len(COLUMNS) - 1)]])
    assert "curves.png" in call(run(log=log.getvalue()))[0]
