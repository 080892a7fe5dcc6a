"""Train binary networks and export them as QONNX, the format that the generator reads."""
