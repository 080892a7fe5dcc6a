"""Networks, training loop, export: against Brevitas' own quantisers and QONNX's own executor."""

import json
import os
import pickle
import warnings
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
import typer
from typer.testing import CliRunner

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "fast_hadamard_transform package not found")
    warnings.filterwarnings("ignore", "brevitas.fx is deprecated")
    from brevitas.core.quant import ClampedBinaryQuant
    from brevitas.core.scaling import ConstScaling

    from gen import golden
    from gen.errors import UserError
    from gen.importers import qonnx
    from tests.reference import reference
    from train import data, deploy, export, freeze, loop, nets, quantizers, recipes, run
    from train.recipes import Recipe

torch.set_num_threads(1)  # others run beside these tests

TINY = nets.Net("cifar10", 1, "8C3 8C3 MP2 16C3 MP4 32 10")


@pytest.fixture
def tiny(monkeypatch):
    """Make "tiny" a padded convolutional network that trains in a moment."""
    monkeypatch.setitem(nets.NETS, "tiny", TINY)
    torch.manual_seed(1)
    return nets.build("tiny")


def stripes(count):
    """Images whose class is the column of a bright stripe: easy, and not the same when flipped."""
    labels = np.arange(count) % 10
    images = np.random.default_rng(1).integers(0, 60, (count, 32, 32, 3), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 4] += 150
    return loop.Images.of(images, labels)


# Networks


@pytest.mark.parametrize(
    "name, count",
    [
        ("bvgg16", 15_244_992),
        ("bvgg16-flatten", 15_244_992 + (8192 - 512) * 1024),
        ("bvgg16-5pool", 15_244_992),
        ("cnv", 1_542_848),
        ("tfc", 784 * 64 + 2 * 64 * 64 + 640),
        ("sfc", 784 * 256 + 2 * 256 * 256 + 2560),
        ("cnn6", 4 + 4 * 8 * 25 + 8 * 16 * 9 + 16 * 32 * 9 + 32 * 64 * 4 + 640),
        ("lenet", 6 * 25 + 6 * 16 * 25 + 400 * 120 + 120 * 84 + 840),
        ("lfc", 784 * 1024 + 2 * 1024 * 1024 + 10240),
    ],
)
def test_weights_and_shapes(name, count):
    model = nets.build(name).eval()
    assert sum(weight.numel() for weight in nets.binary_weights(model)) == count
    height, width, channels = data.DATASETS[nets.NETS[name].dataset].shape
    with torch.no_grad():
        assert model(torch.rand(2, channels, height, width)).shape == (2, 10)


def test_no_such_network():
    with pytest.raises(ValueError, match=r"no network 'vgg'; there are bvgg16"):
        nets.build("vgg")


def test_sign_is_brevitas_sign():
    x = torch.tensor([-3.0, -1.0, -0.5, -1e-40, -0.0, 0.0, 1e-40, 0.5, 1.0, 3.0])
    results = []
    for quantiser in quantizers.ClampedSign(), ClampedBinaryQuant(ConstScaling(1.0)):
        leaf = x.clone().requires_grad_()
        y = quantiser(leaf)[0]
        (y * torch.arange(1.0, 11.0)).sum().backward()
        results.append((y.tolist(), leaf.grad[x.abs() != 1].tolist()))
    assert results[0] == results[1]


def test_weights_are_signs_and_gradients_pass_straight_through(tiny):
    layer = tiny.dense2
    with torch.no_grad():
        layer.weight[0, :3] = torch.tensor([0.0, 1.0, -1e-9])
    signs = torch.where(layer.weight >= 0, 1.0, -1.0)
    assert torch.equal(layer.quant_weight().value, signs)
    x = torch.rand(5, 32)
    layer(x).sum().backward()
    assert torch.allclose(layer.weight.grad, x.sum(0).expand(10, 32))


def test_pixels_are_q1_7(tiny):
    x = loop.scale(torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256))
    codes = tiny.input(tiny.centre(x)).flatten() * 128
    exact = (2 * np.arange(256) / 255 - 1) * 128
    assert codes.tolist() == np.clip(np.rint(exact), -128, 127).tolist()


def test_padding_is_zero(tiny):
    ones = torch.ones(1, 8, 8, 8)
    signs = torch.where(tiny.conv1_2.weight >= 0, 1.0, -1.0)
    assert torch.equal(tiny.conv1_2(ones)[0, :, 0, 0], signs[:, :, 1:, 1:].sum((1, 2, 3)))


# Training


def test_jitter_moves_and_blackens():
    images = torch.randint(1, 256, (64, 2, 6, 6), dtype=torch.uint8)
    moved = loop.jitter(images, 4, True, torch.Generator().manual_seed(1))
    again = loop.jitter(images, 4, True, torch.Generator().manual_seed(1))
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
    assert torch.equal(loop.jitter(images, 0, False, torch.Generator()), images)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_lowers_the_loss(tiny, bfloat16):
    recipe, images = Recipe(4, rate=0.02, batch=20, bfloat16=bfloat16), stripes(300)
    optimiser = torch.optim.Adam(tiny.parameters())
    losses = [loop.train_epoch(tiny, optimiser, images, recipe, epoch, False) for epoch in range(3)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(weight.abs().max() <= 1 for weight in nets.binary_weights(tiny))
    assert loop.accuracy(tiny, images) > 50


def stop_after(epochs):
    """Return a stand-in for `loop.accuracy` that is interrupted in the epoch after so many."""
    accuracy, calls = loop.accuracy, iter(range(epochs))

    def watch(model, images):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return accuracy(model, images)

    return watch


def test_resumed_is_uninterrupted(tiny, tmp_path):
    train, validation = stripes(130).split(30)
    recipe = Recipe(3, seed=5, batch=40, shift=4, mirror=True)
    stopped = nets.build("tiny")
    stopped.load_state_dict(tiny.state_dict())
    loop.fit(tiny, train, validation, recipe, tmp_path / "a", progress=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "accuracy", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            loop.fit(stopped, train, validation, recipe, tmp_path / "b", progress=False)
    resumed = nets.build("tiny")
    loop.fit(resumed, train, validation, recipe, tmp_path / "b", progress=False)

    for name, tensor in tiny.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    a, b = ((tmp_path / run / "log.csv").read_text().splitlines() for run in "ab")
    assert [line.rsplit(",", 1)[0] for line in a] == [line.rsplit(",", 1)[0] for line in b]
    with pytest.raises(ValueError, match="made by another recipe"):
        loop.fit(resumed, train, validation, replace(recipe, rate=0.1), tmp_path / "b")


def test_a_run_can_be_lengthened_while_its_rate_is_constant(tiny, tmp_path):
    train, validation = stripes(130).split(30)
    twin = nets.build("tiny")
    twin.load_state_dict(tiny.state_dict())
    recipe = Recipe(2, batch=40)
    longer = replace(recipe, epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "accuracy", stop_after(1))
        with pytest.raises(KeyboardInterrupt):
            loop.fit(tiny, train, validation, recipe, tmp_path / "a", progress=False)
    loop.fit(nets.build("tiny"), train, validation, longer, tmp_path / "a", progress=False)
    loop.fit(twin, train, validation, longer, tmp_path / "b", progress=False)
    a, b = (torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)["model"] for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(ValueError, match="made by another recipe"):
        loop.fit(twin, train, validation, replace(recipe, epochs=5), tmp_path / "b")


def test_calibration_measures_what_the_layer_sees(tiny):
    images = stripes(200)
    before = [weight.clone() for weight in nets.binary_weights(tiny)]
    loop.calibrate(tiny, images)
    sums = tiny.conv1_1(tiny.input(tiny.centre(loop.scale(images.pixels))))
    assert torch.allclose(tiny.norm1_1.running_mean, sums.mean((0, 2, 3)), atol=1e-3)
    assert tiny.norm1_1.momentum == 0.1
    assert all(map(torch.equal, before, nets.binary_weights(tiny)))


def test_balanced_pools_pass_both_signs(tiny):
    nets.balance_pools(tiny)
    images = stripes(200)
    loop.calibrate(tiny, images)
    with torch.no_grad():
        pooled = tiny[: list(dict(tiny.named_children())).index("pool2") + 1](loop.scale(images.pixels))
    assert -0.8 < pooled.mean() < 0.8
    assert len(loop.predict(tiny, images.pixels).argmax(1).unique()) > 2


# Export


def exported(name):
    """Return an untrained network with live, arbitrary BatchNorm, its ONNX model, and images for it."""
    torch.manual_seed(2)
    model = nets.build(name)
    shape = data.DATASETS[nets.NETS[name].dataset].shape
    images = np.random.default_rng(3).integers(0, 256, (60, *shape), np.uint8)
    if os.environ.get("BNN_DATA"):
        images = data.load(nets.NETS[name].dataset, "test")[0][:60]
    loop.calibrate(model, loop.Images.of(images, np.zeros(60, np.int64)), batch=20)
    for norm in model:
        if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) and norm is not model.scores:
            torch.nn.init.uniform_(norm.weight, -1, 1)
            torch.nn.init.uniform_(norm.bias, -0.5, 0.5)  # sums equal to their mean would be ties
    return model, export.to_qonnx(model, name, {"dataset": "none"}), images


@pytest.mark.parametrize("name", ["tfc", "tiny"])
def test_export_gives_the_same_scores(tiny, name):
    model, proto, images = exported(name)
    scores = loop.predict(model, loop.Images.of(images, np.zeros(60, np.int64)).pixels).numpy()
    assert len(np.unique(scores)) > 10
    for image, score in zip(images[:4], scores, strict=False):
        assert np.array_equal(reference(proto, image[np.newaxis])[0], score)


def test_export_is_plain(tiny):
    _, proto, _ = exported("tiny")
    onnx.checker.check_model(proto)
    convs = [node for node in proto.graph.node if node.op_type == "Conv"]
    assert [node.name for node in convs] == ["conv1_1", "conv1_2", "conv2_1"]
    for node in convs:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes["pads"] == [1, 1, 1, 1]
    kinds = {node.op_type for node in proto.graph.node}
    assert kinds == {
        "Mul", "Sub", "Add", "Quant", "BipolarQuant", "Conv", "BatchNormalization", "MaxPool",
        "Reshape", "Gemm",
    }  # fmt: skip
    (image,), (scores,) = proto.graph.input, proto.graph.output
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 3, 32, 32]
    assert [d.dim_value for d in scores.type.tensor_type.shape.dim] == [1, 10]
    shaped = {value.name for value in proto.graph.value_info} | {scores.name}
    assert {output for node in proto.graph.node for output in node.output} <= shaped


def test_export_ships_signs_only_and_no_notes(tiny):
    model, proto, _ = exported("tiny")
    values = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    names = [f"{n}.weight_quant_param0" for n, m in model.named_children() if hasattr(m, "weight_quant")]
    for name, weight in zip(names, nets.binary_weights(model), strict=True):
        assert np.array_equal(values[name], np.where(weight.detach() >= 0, 1, -1))
    assert {p.key: p.value for p in proto.metadata_props} == {"dataset": "none"}
    assert b".py" not in export.to_bytes(proto)
    assert export.to_bytes(export.to_qonnx(model, "tiny", {"dataset": "none"})) == export.to_bytes(proto)


# Quantisers


QUANTISERS = sorted(quantizers.QUANTIZERS)


@pytest.mark.parametrize("name", QUANTISERS)
def test_quantiser_learns_and_deploys_as_signs(tiny, name):
    torch.manual_seed(4)
    model, images = nets.build("tiny", name), stripes(400)
    recipe = Recipe(4, rate=0.01, batch=20, quantiser=name)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    losses = [loop.train_epoch(model, optimiser, images, recipe, epoch, progress=False) for epoch in range(4)]
    assert losses[3] < losses[0] - 0.2
    plain = deploy.deployed(model, "tiny")
    for weight in nets.binary_weights(plain):
        assert set(weight.unique().tolist()) == {-1.0, 1.0}
    before, after = (loop.predict(net, images.pixels) for net in (model, plain))
    same = torch.isclose(before, after, rtol=1e-4, atol=1e-4).all(1).float().mean()
    assert same > 0.97, same  # but for rounding: folded scales may move a sum that is just on a threshold
    if name in ("ste", "dsq", "tanh", "bayes", "ubq"):
        assert torch.allclose(before, after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", QUANTISERS)
def test_deployed_network_is_what_the_golden_model_computes(tiny, name, tmp_path):
    torch.manual_seed(5)
    model, images = nets.build("tiny", name), stripes(200)
    loop.calibrate(model, images)
    plain = deploy.deployed(model, "tiny")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(export.to_bytes(export.to_qonnx(plain, "tiny", {})))
    network = qonnx.load(path)
    pixels = images.pixels.permute(0, 2, 3, 1).numpy()
    scores = golden.run(network, pixels) * network.scale + network.offset
    np.testing.assert_allclose(scores, loop.predict(plain, images.pixels).numpy(), rtol=1e-5, atol=1e-5)


def test_no_such_quantiser():
    with pytest.raises(UserError, match="no quantiser 'magic'; there are ste, staged, xnor"):
        nets.build("tfc", "magic")


@pytest.mark.parametrize(("module", "soft"), [
    (quantizers.ClampedSign, lambda x: x.clamp(-1, 1)),
    (quantizers.PassedSign, lambda x: x),
    (quantizers.ScaledSign, lambda x: x.clamp(-1, 1)),
    (quantizers.SoftSign, lambda x: (np.log(9) / 2 * x.clamp(-1, 1)).tanh() / 0.8),
    (quantizers.UncertainSign, lambda x: x.clamp(-1, 1)),
])
def test_gradient_is_that_of_the_soft_function(module, soft):
    quant, x = module(), torch.linspace(-1.5, 1.5, 50).view(1, 50)
    scale = x.abs().mean() if module is quantizers.ScaledSign else 1.0
    slopes = []
    for function in (lambda t: quant(t)[0] / scale.detach() if torch.is_tensor(scale) else quant(t)[0], soft):
        leaf = x.clone().requires_grad_()
        (function(leaf) * torch.arange(1.0, 51.0)).sum().backward()
        slopes.append(leaf.grad)
    if module is quantizers.ScaledSign:  # the scale has a gradient of its own: one number, times each weight's sign
        rest = (slopes[0] - slopes[1]) * x.sign()
        assert torch.allclose(rest, rest[0, 0].expand_as(rest), atol=1e-3)
    else:
        assert torch.allclose(*slopes, rtol=1e-4, atol=1e-5)


def test_annealing():
    tanh, recu, ubq = quantizers.SteepTanh(), quantizers.RectifiedSign(), quantizers.UncertainSign()
    for progress, values in [(0, (1, 0.85, 1)), (1, (1000, 0.99, 0.05))]:
        for module in (tanh, recu, ubq):
            module.anneal(progress)
        assert [tanh.nu.item(), recu.tau.item(), ubq.u.item()] == pytest.approx(values)
    x = torch.linspace(-0.2, 0.2, 9)
    assert torch.allclose(ubq.train()(x)[0], (20 * x).clamp(-1, 1), atol=1e-6)
    assert set(ubq.eval()(x)[0].tolist()) == {-1.0, 1.0}


def test_loss_aware_scale_follows_the_curvature():
    quant, weight = quantizers.LossAwareSign(), torch.tensor([[1.0, -3.0]])
    assert quant(weight)[0].tolist() == [[2, -2]]
    quant.observe(weight, {"exp_avg_sq": torch.tensor([[9.0, 0.0]])})
    assert quant(weight)[0].tolist()[0] == pytest.approx([1, -1])


# Freezing


@pytest.mark.parametrize("unit", [1.0, freeze.PIXEL])
def test_threshold_is_the_sign_of_the_norm(unit):
    torch.manual_seed(6)
    norm = torch.nn.BatchNorm1d(200, eps=1e-4).double().eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        torch.nn.init.normal_(tensor, std=3)
    torch.nn.init.uniform_(norm.running_var, 0.1, 4)
    with torch.no_grad():
        norm.weight[:8] = 0
        norm.bias[7], norm.running_mean[8:20] = 0, 5 * unit  # ties
        norm.bias[8:20] = 0
    sums = torch.arange(-60, 61).double()[:, None].expand(-1, 200) * unit
    deviation = torch.sqrt(norm.running_var + norm.eps)
    wanted = norm.weight * ((sums - norm.running_mean) / deviation) + norm.bias >= 0
    given = freeze.threshold(norm, unit)(sums.float())
    assert torch.equal(given > 0, wanted) and (given != 0).all()


def test_ubq_ends_as_what_is_executed(tiny, tmp_path):
    torch.manual_seed(7)
    model, images = nets.build("tiny", "ubq"), stripes(400)
    train, validation = images.split(100)
    recipe = Recipe(8, rate=0.01, batch=20, quantiser="ubq", freeze=1)
    loop.fit(model, train, validation, recipe, tmp_path / "run", progress=False)
    assert not any(weight.requires_grad for weight in nets.binary_weights(model))
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == loop.epochs_of(recipe, model) == 12
    plain = deploy.deployed(model, "tiny")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(export.to_bytes(export.to_qonnx(plain, "tiny", {})))
    network = qonnx.load(path)
    scores = golden.run(network, images.pixels.permute(0, 2, 3, 1).numpy()) * network.scale + network.offset
    model.eval()
    np.testing.assert_allclose(scores, loop.predict(model, images.pixels).numpy(), rtol=1e-5, atol=1e-6)
    assert loop.accuracy(model, images) > 40


def test_stopped_while_freezing_is_resumed(tiny, tmp_path):
    train, validation = stripes(200).split(40)
    recipe, scores = Recipe(1, batch=40, quantiser="ubq", freeze=1), []
    for stops in ([5], [3, 5]):
        for stop in stops:
            torch.manual_seed(8)
            model = nets.build("tiny", "ubq")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loop, "epochs_of", lambda recipe, model, stop=stop: stop)
                loop.fit(model, train, validation, recipe, tmp_path / str(len(stops)), progress=False)
        scores.append(loop.predict(model, validation.pixels))
    assert torch.equal(*scores)


def test_scaled_weights_cannot_be_frozen(tiny):
    with pytest.raises(UserError, match="conv1_1 cannot be frozen"):
        freeze.freeze(nets.build("tiny", "xnor"), 1)


# Recipes


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_of_ours(name):
    recipe = recipes.load(name, seed=3)
    assert recipe.seed == 3 and recipe.quantiser in quantizers.QUANTIZERS
    rates = [recipe.rate_at(epoch) for epoch in range(recipe.epochs)]
    assert rates[0] == recipe.rate and rates == sorted(rates, reverse=True) and rates[-1] < 0.1 * recipe.rate


@pytest.mark.parametrize(("text", "complaint"), [
    ("epochs = ", "recipe .*own.toml"), ("rate = 0.1", "epochs are missing"), ("epochs = 1.5", "not of type int"),
    ("epochs = 1\nspeed = 1", "no setting 'speed'; there are epochs, rate"), ("epochs = 0", "not in 1 to"),
    ('epochs = 1\nschedule = "up"', "no schedule 'up'"), ("epochs = 1\nmirror = 1", "not of type bool"),
])
def test_recipes_that_are_refused(text, complaint, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        recipes.load(str(path))


def test_erasing_blackens_rectangles():
    pixels = torch.full((400, 3, 32, 32), 255, dtype=torch.uint8)
    black = (loop.erase(pixels, 0.5, torch.Generator().manual_seed(1)) == 0).all(1)
    count = black.sum((1, 2))
    assert 150 < (count > 0).sum() < 250
    rows, columns = black.any(2).sum(1), black.any(1).sum(1)
    assert torch.equal(rows * columns, count) and set(rows.tolist()) <= {0, *range(8, 17)}


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps(print), pickle.dumps({"recipe": {}})])
def test_hostile_checkpoints_are_refused(tiny, tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    train, validation = stripes(60).split(20)
    with pytest.raises(UserError, match=r"checkpoint.pt is no checkpoint of ours, or is damaged"):
        loop.fit(tiny, train, validation, Recipe(1), tmp_path, progress=False)
    assert (tmp_path / "checkpoint.pt").read_bytes() == content


def test_checkpoint_of_another_network_is_refused(tiny, tmp_path):
    train, validation = stripes(60).split(20)
    loop.fit(tiny, train, validation, Recipe(1, batch=20), tmp_path, progress=False)
    with pytest.raises(UserError, match="is of another network"):
        loop.fit(nets.build("cnv"), train, validation, Recipe(1, batch=20), tmp_path, progress=False)


# Command line


def invoke(*arguments):
    """Run the command line; return its exit status and all it printed."""
    app = typer.Typer()
    app.command()(run.main)
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "1000"})
    return result.exit_code, result.output


def test_command_line_trains_and_ships(tiny, tmp_path, monkeypatch):
    images = stripes(200)
    arrays = images.pixels.permute(0, 2, 3, 1).numpy(), images.labels.numpy()
    monkeypatch.setattr(data, "load", lambda name, split, folder: arrays)
    monkeypatch.setattr(run, "HELD_OUT", 20)
    recipe = tmp_path / "short.toml"
    recipe.write_text("epochs = 1\nbatch = 20\n")
    arguments = ["--net", "tiny", "--out", str(tmp_path), "--recipe", str(recipe)]
    assert invoke(*arguments)[0] == 0
    first = (tmp_path / "tiny.onnx.xz").read_bytes()
    status, output = invoke(*arguments)
    assert status == 0 and "% of 200 test images" in output
    report = json.loads((tmp_path / "tiny.json").read_text())
    assert report["disagreements"] == 0 and report["accuracy"] == report["golden_accuracy"]
    assert report["recipe"]["batch"] == 20
    assert (tmp_path / "tiny.onnx.xz").read_bytes() == first

    assert invoke("--net", "tiny", "--out", str(tmp_path / "c"), "--calibrate-only")[0] == 0
    model = export.unpack(tmp_path / "c" / "tiny.onnx.xz")
    assert {p.key: p.value for p in model.metadata_props} == {"dataset": "cifar10", "trained": "false"}


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--net", "vgg"], "no network 'vgg'"),
        (["--net", "tfc"], "give --data DIR"),
        (["--net", "tfc", "--device", "toaster"], "toaster"),
        (["--net", "tfc", "--epochs", "0"], "epochs is 0, not in 1 to"),
        (["--net", "tfc", "--recipe", "none"], "no recipe 'none' (No such file or directory); there are best, digits,"),
    ],
)
def test_command_line_errors(arguments, complaint, tmp_path, monkeypatch):
    monkeypatch.delenv("BNN_DATA", raising=False)
    status, output = invoke(*arguments, "--out", str(tmp_path))
    assert status == 2 and complaint in output
