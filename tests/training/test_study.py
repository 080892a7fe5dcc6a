"""The comparison of quantisers: every cell is trained once, and what comes of them."""

import json

import pytest
from typer.testing import CliRunner

from gen.errors import UserError
from train import loop, nets, study


@pytest.mark.parametrize("quantiser", ["ste", "ubq"])
def test_all_cells_train_equally_long(quantiser):
    recipe = study.recipe("cnn6", quantiser, 10, seed=2)
    assert loop.epochs_of(recipe, nets.build("cnn6")) == 10 and recipe.seed == 2


def test_too_few_epochs_to_freeze_in():
    with pytest.raises(UserError, match="cnn6 has 6 layers to freeze: 5 epochs are too few"):
        study.recipe("cnn6", "ubq", 5, seed=1)


def test_table_has_mean_and_spread():
    results = [{"net": "cnn6", "quantiser": "ste", "golden_accuracy": a, "disagreements": 0} for a in (90.0, 92.0)]
    assert "| cnn6 | ste | 2 | 91.00 | 1.41 | 90.00 | 92.00 | 0 |" in study.table(results)


def test_finished_cells_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "cell", None)  # nothing may be trained
    (tmp_path / "cells").mkdir()
    for seed in (1, 2):
        result = {"net": "tfc", "quantiser": "ste", "seed": seed, "golden_accuracy": 90.0 + seed, "disagreements": 0}
        (tmp_path / "cells" / f"tfc-ste-{seed}-3.json").write_text(json.dumps(result))
    app = study.typer.Typer()
    app.command()(study.main)
    arguments = ["--network", "tfc", "--quantiser", "ste", "--seeds", "2", "--epochs", "3", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "| tfc | ste | 2 | 91.50 |" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")
