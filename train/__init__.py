"""Train binary networks and export them as QONNX, the format that the generator reads."""

import warnings

warnings.filterwarnings("ignore", "fast_hadamard_transform package not found")  # Brevitas, of what we do not use
