"""Random changes of the training images: mixtures, shifts, mirror images, blacked-out rectangles.

All that is random is drawn on the CPU for a whole batch, so that every device and every number of processes sees the
same images; pixels are changed where they lie.
"""

import random

import torch
import torch.nn.functional as F

__all__ = ["augmented", "draw", "mixture"]


def mixture(recipe, generator):
    """Draw the share of itself that each image of a batch keeps (mixup, Zhang et al. 2018); 1 without mixup."""
    if not recipe.mixup:
        return 1.0
    seed = int(torch.randint(2**31, (), generator=generator))
    return random.Random(seed).betavariate(recipe.mixup, recipe.mixup)


def draw(count, height, width, recipe, generator):
    """Draw what happens to each of ``count`` images.

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU, the first axis of each numbers the images.
    """
    drawn = {}
    if recipe.shift or recipe.mirror:
        down, right = torch.randint(0, 2 * recipe.shift + 1, (2, count, 1), generator=generator)
        flip = torch.randint(0, 1 + recipe.mirror, (count, 1), generator=generator).bool()
        columns = torch.arange(width).expand(count, width)
        drawn["rows"] = down + torch.arange(height)
        drawn["columns"] = right + torch.where(flip, columns.flip(1), columns)
    if recipe.erase:
        chosen = torch.rand(count, 1, generator=generator) < recipe.erase
        drawn["black_rows"] = _interval(count, height, generator) & chosen
        drawn["black_columns"] = _interval(count, width, generator)
    return drawn


def _interval(count, size, generator):
    """Bool `[count, size]`, true in a random interval, a quarter to half of the whole."""
    length = torch.randint(size // 4, size // 2 + 1, (count, 1), generator=generator)
    start = (torch.rand(count, 1, generator=generator) * (size - length + 1)).long()
    places = torch.arange(size)
    return (places >= start) & (places < start + length)


def augmented(pixels, drawn, shift):
    """Do to uint8 ``pixels`` `[N, C, H, W]` what was drawn: shift by up to ``shift``, mirror, black out rectangles."""
    drawn = {key: value.to(pixels.device) for key, value in drawn.items()}
    if "rows" in drawn:
        image = torch.arange(len(pixels), device=pixels.device).view(-1, 1, 1, 1)
        channel = torch.arange(pixels.shape[1], device=pixels.device).view(1, -1, 1, 1)
        rows, columns = drawn["rows"][:, None, :, None], drawn["columns"][:, None, None, :]
        pixels = F.pad(pixels, (shift,) * 4)[image, channel, rows, columns]
    if "black_rows" in drawn:
        pixels = pixels.masked_fill((drawn["black_rows"][:, :, None] & drawn["black_columns"][:, None, :])[:, None], 0)
    return pixels
