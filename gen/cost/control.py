"""What the control around a unit costs: linear in a few sizes."""

import numpy as np

from ..resources import Resources

__all__ = ["CONTROL", "control"]

# LUTs, and flip-flops, for each of the sizes that the unit of that name gives to ``control``.
CONTROL = {
    "window": ((13.38, 2.79, 4.38, 3.16, -0.78, 0.89, -0.02, 2.93, 0.97),
               (7.89, 3.04, 10.8, 1.66, -1.17, 0.76, 0.57, -2.61, 1.93)),
    "rows": ((4.0, 1.46, 12.01), (1.94, 2.12, 5.83)),
    "matrix": ((-12.14, 1.96), (-3.76, 1.29)),
    "reorder": ((11.8, 1.07), (8.97, 1.14)),
    "threshold": ((9.33, 0.62), (1.86, -0.06)),
    "offset": ((-2.54, 1.31), (1.62, 0.08)),
    "pool": ((3.66, 1.4), (-3.82, 1.84)),
    "reduce": ((8.16, 1.0), (6.57, -0.01)),
    "lookup": ((0.0,), (1.0,)),
    "topk": ((4.0, 0.7, 2.1), (1.0, 0.0, 0.0)),
}


def control(kind, *sizes):
    """Counters, handshakes and the like."""
    return Resources(*(max(0.0, float(np.dot(factors, sizes))) for factors in CONTROL[kind]))
