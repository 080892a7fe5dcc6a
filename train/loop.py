"""The training loop: latent weights learn by a recipe, a checkpoint after every epoch."""

import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from train import augment, checkpoints, fixed, parallel, quantizers
from train.checkpoints import COLUMNS
from train.freeze import freeze
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


def scale(pixels, dtype=None):
    """Return uint8 pixels as `dtype` (torch's default one) in [0, 1], what networks expect; channels last: faster."""
    return (pixels.to(dtype or torch.get_default_dtype()) / 255.0).contiguous(memory_format=torch.channels_last)


def adam(model, weight_decay=0.0):
    """Return Adam as all recipes but those of SGD use it."""
    return torch.optim.Adam(model.parameters(), weight_decay=weight_decay, fused=True)  # four times as fast


def optimiser_of(recipe, model):
    """Return the recipe's optimiser; its rate is the recipe's in every step."""
    if recipe.optimiser == "adam":
        return adam(model, recipe.weight_decay)
    return torch.optim.SGD(model.parameters(), momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True)


def epochs_of(recipe, model):
    """Epochs of the whole training: the schedule, and for each layer but the last the time after it is frozen."""
    return recipe.epochs + recipe.freeze * (len(binary_weights(model)) - 1)


def batches(images, classes, recipe, epoch):
    """Yield the training batches of one epoch; everything random follows from the seed and ``epoch``.

    Yields
    ------
    x : float tensor `[N, C, H, W]`
        In [0, 1], augmented; of several processes each gets its share.
    targets : float tensor `[N, classes]`
        Probabilities.
    """
    device, size = images.labels.device, images.pixels.shape[2:]
    labels = F.one_hot(images.labels, classes).to(torch.get_default_dtype())
    generator = torch.Generator().manual_seed(1_000_003 * recipe.seed + epoch)
    order = torch.randperm(len(images.labels), generator=generator)
    for chosen in order.split(recipe.batch)[:_steps(images, recipe)]:
        kept = augment.mixture(recipe, generator)
        drawn = augment.draw(len(chosen), *size, recipe, generator)
        own, partner = (parallel.share(part).to(device) for part in (chosen, chosen.roll(1)))
        pixels, targets = images.pixels[own], labels[own]
        if kept < 1:
            pixels = (kept * pixels + (1 - kept) * images.pixels[partner]).round().byte()
            targets = kept * targets + (1 - kept) * labels[partner]
        yield scale(augment.augmented(pixels, parallel.share(drawn), recipe.shift)), targets


def _steps(images, recipe):
    """Batches an epoch; a small one at the end is left out: it has poor BatchNorm statistics."""
    return max(1, len(images.labels) // recipe.batch)


def train_epoch(model, optimiser, images, recipe, epoch, teacher=None, done=lambda: None):
    """Train for one epoch, numbered from 0, the same for the same seed and ``epoch``.

    Parameters
    ----------
    model, optimiser, images, recipe, epoch
        What to train, and how.
    teacher : callable, optional
        Gives scores for the same images, of whose probabilities ``recipe.distil`` becomes the target.
    done : callable
        Called after each step.

    Returns
    -------
    float
        Mean cross-entropy.
    """
    freeze(model, recipe.frozen_at(epoch))
    fixed.forget(model)
    model.train()
    torch.manual_seed(1_000_003 * recipe.seed + epoch)  # of quantisers that sample
    total = torch.zeros((), device=images.labels.device)  # asked for once: a GPU need not wait for us every step
    steps, classes = _steps(images, recipe), len(binary_weights(model)[-1])
    for step, (x, targets) in enumerate(batches(images, classes, recipe, epoch)):
        now = epoch + step / steps
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate_at(now)
        quantizers.anneal(model, min(1.0, now / recipe.epochs))
        with torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            if teacher:
                with torch.no_grad():
                    targets = targets.lerp(teacher(x).to(targets.dtype).softmax(1), recipe.distil)
            scores = model(x)
        loss = F.cross_entropy(scores.to(targets.dtype), targets, label_smoothing=recipe.label_smoothing)
        optimiser.zero_grad()
        if loss.requires_grad:
            loss.backward()
            _step(model, optimiser, recipe)
        total += loss.detach()
        done()
    return parallel.mean(total).item() / steps


def _step(model, optimiser, recipe):
    """One step of the optimiser, and what quantisers want after it."""
    parallel.average_gradients(model)
    optimiser.step()
    quantizers.observe(model, optimiser)
    if model.quantizer.clamped:
        with torch.no_grad():
            for weight in binary_weights(model):
                weight.clamp_(-1, 1)


@torch.no_grad()
def predict(model, pixels, dtype=None):
    """Return the scores `[N, classes]` of uint8 images `[N, C, H, W]`."""
    model.eval()
    with torch.compiler.set_stance("force_eager"):
        return torch.cat([model(scale(batch, dtype)) for batch in pixels.split(100)])


def accuracy(model, images):
    """Return the percentage of `images` whose highest score is their label's."""
    right = predict(model, images.pixels).argmax(1) == images.labels
    return 100.0 * right.float().mean().item()


def calibrate(model, images, batch=100):
    """Set BatchNorm statistics to their average over batches of `images`, ranges to the widest; weights untouched.

    All else computes as in evaluation. Of several processes each takes its share of every batch.
    """
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    fixed.forget(model)
    model.eval()
    for module in model.modules():
        if isinstance(module, fixed.FixedPoint):
            module.train()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for pixels in images.pixels.split(batch)[:max(1, len(images.labels) // batch)]:
            model(scale(parallel.share(pixels)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def seconds_an_epoch(model, images, recipe, teacher=None, steps=6):
    """Estimate the time that one epoch takes here, from a few steps of a copy; ``model`` stays as it is."""
    model, times = copy.deepcopy(model), []

    def done():
        if images.labels.is_cuda:
            torch.cuda.synchronize()
        times.append(time.monotonic())

    few = images.first(steps * recipe.batch)
    train_epoch(model, optimiser_of(recipe, model), few, recipe, 0, teacher, done)
    return (times[-1] - times[0]) / max(1, len(times) - 1) * _steps(images, recipe)  # the first one warms up


def largest_batch(model, images, recipe, teacher=None):
    """Largest batch, of ``recipe.batch`` halved again and again, with which a step of a copy fits; 0 if none does."""
    batch = recipe.batch
    while (batch := batch // 2) >= 2:
        torch.cuda.empty_cache()
        try:
            seconds_an_epoch(model, images, replace(recipe, batch=batch), teacher, steps=1)
            return batch
        except (RuntimeError, MemoryError):
            continue
    return 0


def fit(model, train, validation, recipe, out, teacher=None, progress=True):
    """Train, resuming from the checkpoint in `out` if there is one.

    After every epoch `out/checkpoint.pt` is replaced, `out/log.csv` gets a line and `out/events` what TensorBoard
    shows: cross-entropy, validation accuracy in %, learning rate, the share of weights whose sign changed in the epoch,
    the share that is uncertain (of ``ubq``), and the seconds since the start. A run that was stopped goes on to the
    same result as one that was not. The weights kept are the last epoch's, or with ``recipe.ema`` their moving average.

    Parameters
    ----------
    model
        From `train.nets.build`, changed in place.
    train, validation : Images
        To learn from, and to watch.
    recipe : train.recipes.Recipe
        A checkpoint made by another recipe, or with other images, is refused, unless only `epochs` differs and the rate
        has not begun to fall in either: then it makes no difference.
    out : path
        Folder of the run; made if missing.
    teacher : callable, optional
        See `train_epoch`.
    progress : bool
        Show a bar with the time left; else print a line an epoch.

    Returns
    -------
    list of dict
        The lines of the log, keyed by `COLUMNS`.

    Raises
    ------
    UserError
        The checkpoint in `out` was made by another recipe, with other images, or is of another network; or this network
        cannot be frozen, as the recipe wants it.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if recipe.freeze:
        freeze(copy.deepcopy(model), len(binary_weights(model)))  # or say now what would be in the way at the end
    optimiser = optimiser_of(recipe, model)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema)) if recipe.ema else None
    parts = {"model": model, "optimiser": optimiser} | ({"average": average} if average else {})
    run = checkpoints.Run(out, recipe, checkpoints.digest(train), parts)
    log = run.resume(train.labels.device)
    epochs, steps = epochs_of(recipe, model), _steps(train, recipe)
    if train.labels.is_cuda and parallel.world() == 1:
        model.compile()
    before = log[-1]["seconds"] if log else 0.0
    start = time.monotonic()
    with _bar(progress and parallel.rank() == 0 and len(log) < epochs) as bar, _events(out, log) as events:
        task = bar.add_task("", total=epochs * steps, completed=len(log) * steps)

        def done():
            bar.advance(task)
            if average:
                average.update_parameters(model)

        for epoch in range(len(log), epochs):
            last = f", validation {log[-1]['accuracy']:.2f} %" if log else ""
            bar.update(task, description=f"epoch {epoch + 1} of {epochs}{last}")
            if recipe.frozen_at(epoch) != recipe.frozen_at(epoch - 1):
                torch.compiler.reset()  # it gives up what has changed too often
            signs = [weight > 0 for weight in binary_weights(model)]
            loss = train_epoch(model, optimiser, train, recipe, epoch, teacher, done)
            flips = [(weight > 0) ^ sign for weight, sign in zip(binary_weights(model), signs, strict=True)]
            log.append(dict(zip(COLUMNS, (
                epoch + 1, loss, accuracy(model, validation), recipe.rate_at(epoch), _share(flips),
                quantizers.uncertain(model), before + time.monotonic() - start), strict=True)))  # fmt: skip
            if parallel.rank() == 0:
                run.save(log)
                _tell(log[-1], epochs, events, printed=not progress)
    if average:
        _take_over(model, average)
    finish(model, train, recipe)
    return log


def finish(model, train, recipe):
    """Make ``model`` what it is in evaluation: the last layer frozen, or BatchNorm measured anew where that is due."""
    quantizers.anneal(model, 1.0)
    if recipe.freeze:
        freeze(model, len(binary_weights(model)))
    elif recipe.ema or model.quantizer.soft:
        calibrate(model, train, recipe.batch)


@torch.no_grad()
def _take_over(model, average):
    """Copy averaged parameters, most of which are latent weights."""
    for parameter, mean in zip(model.parameters(), average.module.parameters(), strict=True):
        parameter.copy_(mean)


def _bar(shown):
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                    disable=not shown, transient=True)


def _share(flags):
    """Mean of bool tensors of any shapes."""
    return sum(int(part.sum()) for part in flags) / sum(part.numel() for part in flags)


def _events(out, log):
    """What TensorBoard shows, gone on with after ``log``."""
    return SummaryWriter(str(out / "events"), purge_step=len(log) + 1, write_to_disk=parallel.rank() == 0)


def _tell(row, epochs, events, printed):
    """Give the last row of the log to TensorBoard, and to those who read what is printed."""
    for key in COLUMNS[1:]:
        events.add_scalar(key, row[key], row["epoch"])
    events.flush()
    if printed:
        print(f"epoch {row['epoch']} of {epochs}: loss {row['loss']:.4f}, validation {row['accuracy']:.2f} %, "
              f"{row['seconds']:,.0f} s", flush=True)
