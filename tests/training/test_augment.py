"""Augmentation: what may change in an image, and that nothing else does."""

import torch

from tests.training.samples import stripes
from train import augment, loop
from train.recipes import Recipe


def change(images, recipe):
    """Augment images as `recipe` says."""
    drawn = augment.draw(len(images), *images.shape[2:], recipe, torch.Generator().manual_seed(1))
    return augment.augmented(images, drawn, recipe.shift)


def test_jitter_moves_and_blackens():
    images = torch.randint(1, 256, (64, 2, 6, 6), dtype=torch.uint8)
    moved, again = (change(images, Recipe(1, shift=4, mirror=True)) for _ in range(2))
    assert torch.equal(moved, again)
    seen = set()
    for image, result in zip(images, moved, strict=True):
        for flip in False, True:
            padded = torch.nn.functional.pad(image.flip(2) if flip else image, (4, 4, 4, 4))
            seen |= {
                (flip, down, right)
                for down in range(9)
                for right in range(9)
                if torch.equal(padded[:, down : down + 6, right : right + 6], result)
            }
    assert len(seen) > 30 and {flip for flip, _, _ in seen} == {False, True}
    assert torch.equal(change(images, Recipe(1)), images)


def test_erasing_blackens_rectangles():
    pixels = torch.full((400, 3, 32, 32), 255, dtype=torch.uint8)
    black = (change(pixels, Recipe(1, erase=0.5)) == 0).all(1)
    count = black.sum((1, 2))
    assert 150 < (count > 0).sum() < 250
    rows, columns = black.any(2).sum(1), black.any(1).sum(1)
    assert torch.equal(rows * columns, count) and set(rows.tolist()) <= {0, *range(8, 17)}


def test_a_share_is_augmented_as_in_the_whole_batch():
    recipe = Recipe(1, shift=3, mirror=True, erase=0.5)
    images = torch.randint(0, 256, (12, 3, 8, 8), dtype=torch.uint8)
    drawn = augment.draw(12, 8, 8, recipe, torch.Generator().manual_seed(1))
    third = {key: value[1::3] for key, value in drawn.items()}
    assert torch.equal(augment.augmented(images[1::3], third, 3), change(images, recipe)[1::3])


def test_mixtures_of_images_have_mixtures_of_labels():
    images = stripes(60)
    plain, mixed = (list(loop.batches(images, 10, Recipe(1, batch=20, mixup=mixup), 0)) for mixup in (0.0, 0.4))
    kept = []
    for x, targets in mixed:
        assert torch.allclose(targets.sum(1), torch.ones(20))
        kept.append(targets.max(1).values.max().item())
        # Stripes are 4 columns wide, and as bright as their class' share.
        stripe = torch.stack([x[:, 0, :, 3 * k + 1:3 * k + 3].mean((1, 2)) for k in range(10)], 1)
        assert torch.allclose(stripe, targets * 150 / 255 + 30 / 255, atol=0.06)
    assert len(set(kept)) > 1
    assert all(set(targets.unique().tolist()) == {0, 1} for _, targets in plain)
