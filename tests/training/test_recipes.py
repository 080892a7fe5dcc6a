"""Recipes: ours, and those that are refused."""

import pytest

from gen.errors import UserError
from train import quantizers, recipes


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_of_ours(name):
    recipe = recipes.load(name, seed=3)
    assert recipe.seed == 3 and recipe.quantiser in quantizers.QUANTIZERS
    rates = [recipe.rate_at(epoch) for epoch in range(recipe.epochs)]
    assert rates[0] == recipe.rate and rates == sorted(rates, reverse=True) and rates[-1] < 0.1 * recipe.rate


@pytest.mark.parametrize(("text", "complaint"), [
    ("epochs = ", "recipe .*own.toml"), ("rate = 0.1", "epochs are missing"), ("epochs = 1.5", "not of type int"),
    ("epochs = 1\nspeed = 1", "no setting 'speed'; there are epochs, rate"), ("epochs = 0", "not in 1 to"),
    ('epochs = 1\nschedule = "up"', "no schedule 'up'"), ("epochs = 1\nmirror = 1", "not of type bool"),
])
def test_recipes_that_are_refused(text, complaint, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        recipes.load(str(path))
