"""The training loop: Adam on latent weights by a recipe, a checkpoint after every epoch."""

import csv
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from rich.progress import track

from gen.errors import UserError
from train import quantizers
from train.freeze import freeze
from train.nets import binary_weights
from train.recipes import Recipe


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


def scale(pixels):
    """Return uint8 pixels as float32 in [0, 1], what the networks expect; channels last: faster."""
    return (pixels.float() / 255.0).contiguous(memory_format=torch.channels_last)


def jitter(pixels, shift, mirror, generator):
    """Mirror each image at random, if ``mirror``, and shift it by up to ``shift`` pixels each way, filling with 0.

    `pixels` is `[N, C, H, W]`; random numbers are drawn on the CPU, so that every device agrees.
    """
    count, channels, height, width = pixels.shape
    down, right = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=generator)
    flip = torch.randint(0, 1 + mirror, (count, 1), generator=generator).bool()
    rows = down + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    columns = right + torch.where(flip, columns.flip(1), columns)
    image = torch.arange(count).view(-1, 1, 1, 1)
    index = (
        image, torch.arange(channels).view(1, -1, 1, 1), rows[:, None, :, None],
        columns[:, None, None, :],
    )  # fmt: skip
    return F.pad(pixels, (shift,) * 4)[tuple(i.to(pixels.device) for i in index)]


def erase(pixels, probability, generator):
    """Black out a rectangle, a quarter to half of the image a side, of each image with ``probability``; in place."""
    count, _, height, width = pixels.shape
    chosen = torch.rand(count, generator=generator) < probability
    reach = []
    for size in (height, width):
        length = torch.randint(size // 4, size // 2 + 1, (count, 1), generator=generator)
        start = (torch.rand(count, 1, generator=generator) * (size - length + 1)).long()
        places = torch.arange(size)
        reach.append((places >= start) & (places < start + length))
    black = chosen[:, None, None] & reach[0][:, :, None] & reach[1][:, None, :]
    return pixels.masked_fill_(black[:, None].to(pixels.device), 0)


def epochs_of(recipe, model):
    """Epochs of the whole training: the schedule, and for each layer but the last the time after it is frozen."""
    return recipe.epochs + recipe.freeze * (len(binary_weights(model)) - 1)


def frozen_at(recipe, epoch):
    """Layers that are frozen in ``epoch``, from the input on."""
    return (epoch - recipe.epochs) // recipe.freeze + 1 if recipe.freeze and epoch >= recipe.epochs else 0


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
    freeze(model, frozen_at(recipe, epoch))
    model.train()
    total = torch.zeros((), device=images.labels.device)  # asked for once: a GPU need not wait for us every step
    label = f"epoch {epoch + 1}/{epochs_of(recipe, model)}"
    for step, batch in enumerate(track(batches, label, disable=not progress, transient=True)):
        now = epoch + step / len(batches)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(now)
        quantizers.anneal(model, min(1.0, now / recipe.epochs))
        x = scale(_augmented(images.pixels[batch], recipe, generator))
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            scores = model(x)
        loss = F.cross_entropy(scores.float(), images.labels[batch], label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        if loss.requires_grad:
            loss.backward()
            _step(model, optimiser, recipe)
        total += loss.detach()
    return total.item() / len(batches)


def _augmented(pixels, recipe, generator):
    if recipe.shift or recipe.mirror:
        pixels = jitter(pixels, recipe.shift, recipe.mirror, generator)
    return erase(pixels, recipe.erase, generator) if recipe.erase else pixels


def _step(model, optimiser, recipe):
    """One step of the optimiser, and what quantisers want after it."""
    optimiser.step()
    quantizers.observe(model, optimiser)
    if quantizers.find(recipe.quantiser).clamped:
        with torch.no_grad():
            for weight in binary_weights(model):
                weight.clamp_(-1, 1)


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
    recipe : train.recipes.Recipe
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
        first, seconds = _resume(checkpoint, model, optimiser, recipe, train.labels.device)
    for epoch in range(first, epochs_of(recipe, model)):
        start = time.monotonic()
        loss = train_epoch(model, optimiser, train, recipe, epoch, progress)
        percent = accuracy(model, validation)
        seconds += time.monotonic() - start
        state = {
            "recipe": asdict(recipe), "epochs_done": epoch + 1, "seconds": seconds,
            "model": model.state_dict(), "optimiser": optimiser.state_dict(),
        }  # fmt: skip
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        with open(out / "log.csv", "a", newline="") as file:
            csv.writer(file).writerow([epoch + 1, f"{loss:.4f}", f"{percent:.2f}", f"{seconds:.0f}"])
    if recipe.freeze:
        freeze(model, len(binary_weights(model)))
    return seconds


def _resume(checkpoint, model, optimiser, recipe, device):
    """Load the state in ``checkpoint``; returns the epochs done and the seconds they took."""
    try:
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        old, done, seconds = Recipe(**state["recipe"]), state["epochs_done"], state["seconds"]
    except Exception as error:  # whatever the bytes make of PyTorch's reader
        raise UserError(f"{checkpoint} is no checkpoint of ours, or is damaged ({type(error).__name__}): "
                        f"remove it, or name another folder") from None
    constant = recipe.schedule == "linear" and done <= min(old.epochs, recipe.epochs) / 2
    if old != (replace(recipe, epochs=old.epochs) if constant and recipe.quantiser == "ste" else recipe):
        raise UserError(f"{checkpoint} was made by another recipe ({old}); name another folder")
    freeze(model, frozen_at(recipe, done - 1))
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{checkpoint} is of another network ({str(error).splitlines()[0]}); "
                        f"name another folder") from None
    return done, seconds
