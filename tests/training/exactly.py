"""`train.run` in double precision, where the order of a sum decides on no sign."""

import torch
import typer

from train import run

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
typer.run(run.main)
