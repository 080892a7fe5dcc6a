"""The training loop: Adam on latent weights, a rate that falls late, a checkpoint after every epoch."""

import csv
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from rich.progress import track

from gen.errors import UserError
from train import quantizers
from train.nets import binary_weights


class Images(NamedTuple):
    """Images uint8 `[N, C, H, W]` and labels int64 `[N]`, as tensors on one device."""

    pixels: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, images, labels, device="cpu"):
        """Take over what `train.data.load` returns."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return cls(pixels.to(device), torch.from_numpy(labels).to(device))

    def first(self, count):
        """Return the first `count` images."""
        return Images(self.pixels[:count], self.labels[:count])

    def split(self, count):
        """Return all but the last `count` images, and the last `count`."""
        last = Images(self.pixels[-count:], self.labels[-count:])
        return self.first(len(self.labels) - count), last


class Recipe(NamedTuple):
    """How to train: all that, with the data and the network, decides the result.

    Attributes
    ----------
    epochs
        Length of the schedule: the rate is constant for the first half, then falls in a line to 0.
    seed
        Of the first weights, of each epoch's order and of its augmentation.
    rate
        Adam's learning rate at the start.
    batch
        Images a step.
    augment
        Flip at random and shift by up to 4 pixels, the border filled with black.
    bfloat16
        Train in bfloat16 where that is safe (autocast); evaluation is always in float32.
    quantiser
        A key of `train.quantizers.QUANTIZERS`, with which the model was built.
    """

    epochs: int
    seed: int = 1
    rate: float = 0.02
    batch: int = 100
    augment: bool = False
    bfloat16: bool = False
    quantiser: str = "ste"


def scale(pixels):
    """Return uint8 pixels as float32 in [0, 1], what the networks expect; channels last: faster."""
    return (pixels.float() / 255.0).contiguous(memory_format=torch.channels_last)


def flip_and_shift(pixels, generator):
    """Flip each image at random and shift it by up to 4 pixels each way, filling with 0.

    `pixels` is `[N, C, H, W]`; random numbers are drawn on the CPU, so that every device agrees.
    """
    count, channels, height, width = pixels.shape
    down, right = torch.randint(0, 9, (2, count, 1), generator=generator)
    flip = torch.randint(0, 2, (count, 1), generator=generator, dtype=torch.bool)
    rows = down + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    columns = right + torch.where(flip, columns.flip(1), columns)
    image = torch.arange(count).view(-1, 1, 1, 1)
    index = (
        image, torch.arange(channels).view(1, -1, 1, 1), rows[:, None, :, None],
        columns[:, None, None, :],
    )  # fmt: skip
    return F.pad(pixels, (4, 4, 4, 4))[tuple(i.to(pixels.device) for i in index)]


def train_epoch(model, optimiser, images, recipe, epoch, progress=True):
    """Train for one epoch, numbered from 0; everything random follows from the seed and `epoch`.

    Returns
    -------
    float
        Mean cross-entropy.
    """
    generator = torch.Generator().manual_seed(1_000_003 * recipe.seed + epoch)
    order = torch.randperm(len(images.labels), generator=generator).to(images.labels.device)
    batches = order.split(recipe.batch)
    if len(batches[-1]) < recipe.batch and len(batches) > 1:
        batches = batches[:-1]  # a small batch has poor BatchNorm statistics
    model.train()
    clamped = quantizers.find(recipe.quantiser).clamped
    total = 0.0
    label = f"epoch {epoch + 1}/{recipe.epochs}"
    for step, batch in enumerate(track(batches, label, disable=not progress, transient=True)):
        fraction = (epoch + step / len(batches)) / recipe.epochs
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1, 2 * (1 - fraction))
        quantizers.anneal(model, fraction)
        pixels = images.pixels[batch]
        if recipe.augment:
            pixels = flip_and_shift(pixels, generator)
        x = scale(pixels)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            scores = model(x)
        loss = F.cross_entropy(scores.float(), images.labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        quantizers.observe(model, optimiser)
        if clamped:
            with torch.no_grad():
                for weight in binary_weights(model):
                    weight.clamp_(-1, 1)
        total += loss.item()
    return total / len(batches)


@torch.no_grad()
def predict(model, pixels):
    """Return the float32 scores `[N, classes]` of uint8 images `[N, C, H, W]`."""
    model.eval()
    return torch.cat([model(scale(batch)) for batch in pixels.split(100)])


def accuracy(model, images):
    """Return the percentage of `images` whose highest score is their label's, in float32."""
    right = predict(model, images.pixels).argmax(1) == images.labels
    return 100.0 * right.float().mean().item()


def calibrate(model, images, batch=100):
    """Set BatchNorm statistics to their average over batches of `images`, weights untouched."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    model.train()
    with torch.no_grad():
        for pixels in images.pixels.split(batch):
            model(scale(pixels))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def fit(model, train, validation, recipe, out, progress=True):
    """Train, resuming from the checkpoint in `out` if there is one.

    After every epoch `out/checkpoint.pt` is replaced and `out/log.csv` grows by a line: epoch,
    cross-entropy, validation accuracy in %, seconds. A run that was stopped goes on to the same
    result as one that was not. The weights kept are the last epoch's: none are selected.

    Parameters
    ----------
    model
        From `train.nets.build`, changed in place.
    train, validation : Images
        To learn from, and to watch.
    recipe : Recipe
        A checkpoint made by another recipe is refused, unless only `epochs` differs and the rate
        has not begun to fall in either: then it makes no difference.
    out : path
        Folder of the run; made if missing.

    Returns
    -------
    float
        Seconds of training, those before a resume included.

    Raises
    ------
    UserError
        The checkpoint in `out` was made by another recipe.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    first, seconds = 0, 0.0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True, map_location=train.labels.device)
        old = Recipe(**state["recipe"])
        at_constant_rate = state["epochs_done"] <= min(old.epochs, recipe.epochs) / 2
        if old != (recipe._replace(epochs=old.epochs) if at_constant_rate else recipe):
            raise UserError(f"{checkpoint} was made by another recipe ({old}); name another folder")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first, seconds = state["epochs_done"], state["seconds"]
    for epoch in range(first, recipe.epochs):
        start = time.monotonic()
        loss = train_epoch(model, optimiser, train, recipe, epoch, progress)
        percent = accuracy(model, validation)
        seconds += time.monotonic() - start
        state = {
            "recipe": recipe._asdict(), "epochs_done": epoch + 1, "seconds": seconds,
            "model": model.state_dict(), "optimiser": optimiser.state_dict(),
        }  # fmt: skip
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        with open(out / "log.csv", "a", newline="") as file:
            csv.writer(file).writerow([epoch + 1, f"{loss:.4f}", f"{percent:.2f}", f"{seconds:.0f}"])
    return seconds
