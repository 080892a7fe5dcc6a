"""Where a function of one integer takes its steps."""

import numpy as np

__all__ = ["NotMonotone", "directions", "steps"]


class NotMonotone(ValueError):
    """A channel whose output rises and falls as its accumulator grows."""


def directions(floats):
    """Per row: 1 where it never falls, -1 where it falls but never rises."""
    rises = (floats[:, 1:] >= floats[:, :-1]).all(1)
    falls = (floats[:, 1:] <= floats[:, :-1]).all(1)
    if not (rises | falls).all():
        channel = int(np.argmin(rises | falls))
        turns = np.unique(floats[channel][np.r_[True, np.diff(floats[channel]) != 0]])
        raise NotMonotone(
            f"channel {channel} both rises and falls as its input grows "
            f"(between {turns.min():g} and {turns.max():g})"
        )
    return np.where(rises, 1, -1)


def steps(levels, samples, counts, falls, level_count):
    """First integer of each channel at which each level is reached (left, where it falls): ascending rows.

    A level that is never reached gets the integer after the last one.
    """
    rising = np.where(falls[:, None], level_count - 1 - counts, counts)
    wanted = np.arange(1, level_count)
    index = np.stack([np.searchsorted(row, wanted) for row in rising])
    last = samples.shape[1] - 1
    high = np.take_along_axis(samples, np.minimum(index, last), 1)
    low = np.take_along_axis(samples, np.clip(index - 1, 0, last), 1)
    high = np.where(index == 0, low, high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        at_middle = levels(middle)
        at_middle = np.where(falls[:, None], level_count - 1 - at_middle, at_middle)
        reached = at_middle >= wanted
        high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return np.where(index > last, samples[:, -1:] + 1, high)
