# amaranth: UnusedElaboratable=no
"""Branches: residual sums and concatenations, against the reference executor; their hardware, in simulation."""

import numpy as np
import pytest

from gen import golden
from gen.emit import emit
from gen.errors import UserError
from gen.folding import Folding
from gen.network import Add, Concat, Conv
from gen.reference import reference
from gen.stages import stages
from sim.run import prepare, simulate

from .graphs import bipolar, chain, imported, node, quant, signs
from .test_core import check

START = node("Mul", 2.0), node("Sub", 1.0), quant(1 / 8, 4)  # gives t2


def conv(seed, outputs=2, inputs=2):
    return node("Conv", signs(outputs, inputs, 3, 3, seed=seed), pads=[1, 1, 1, 1])


def end(features):
    return node("Flatten"), node("MatMul", signs(features, 3, seed=9))


GRAPHS = {
    "residual": (*START, conv(1), quant(1 / 4, 4), node("Add", "t2"), quant(1 / 2, 3), *end(60)),
    "both branches": (*START, conv(1), quant(1 / 4, 4), ("Conv", ("t2", signs(2, 2, 1, 1)), {}), quant(1 / 2, 3),
                      node("Add", "t4"), bipolar(), *end(60)),
    "difference": (*START, conv(1), quant(1 / 4, 4), node("Sub", "t2", ...), bipolar(), *end(60)),
    "two blocks": (*START, conv(1), quant(1 / 4, 4), node("Add", "t2"), quant(1 / 2, 3), conv(2), quant(1 / 2, 4),
                   node("Add", "t6"), node("Relu"), quant(1 / 2, 3, signed=0), *end(60)),
    "nested": (*START, conv(1), quant(1 / 4, 4), conv(2), quant(1 / 4, 4), node("Add", "t4"), quant(1 / 4, 4),
               node("Add", "t2"), quant(1 / 2, 4), *end(60)),
    "dense": (*START, conv(1, 3), quant(1 / 8, 4), node("Concat", "t2", axis=1), conv(2, 2, 5), quant(1 / 8, 5),
              node("Concat", "t5", axis=1), *end(210)),
    "sum of three": (*START, conv(1), quant(1 / 4, 4), conv(2), quant(1 / 2, 4), node("Sum", "t4", "t2"), bipolar(),
                     *end(60)),
    "raw sums": (*START, conv(1), node("Add", "t2"), quant(2.0, 4), *end(60)),
    "twice the same": (*START, node("Add", "t2"), bipolar(), *end(60)),
    "falling beside a shortcut": (*START, conv(1), node("BatchNormalization", *np.float32(
        [[1, -1], [0, 1], [1, 0], [1, 1]])), quant(1 / 2, 3), conv(2), node("Add", "t3"), quant(1.0, 4), *end(60)),
    "pooled": (*START, conv(1), quant(1 / 4, 4), node("Add", "t2"), node("GlobalAveragePool"), *end(2)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_agrees_with_the_reference_executor(name, tmp_path):
    nodes = GRAPHS[name]
    images = np.random.default_rng(1).integers(0, 256, (12, 6, 5, 2), np.uint8)
    network = imported(chain(*nodes), tmp_path)
    wanted = reference(chain(*nodes), images)
    taps = {}
    given = golden.run(network, images, taps) * network.scale + network.offset
    np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)
    joins = [layer for layer in network.walk() if isinstance(layer, Add | Concat)]
    assert len(joins) == sum({"Add": 1, "Concat": 1, "Sum": 2, "Sub": 1}.get(op, 0) for op, *_ in nodes[3:])
    assert len(taps) == len(list(network.walk()))
    for layer in network.walk():
        values = layer.output.values
        assert values.lo <= taps[layer.name].min() and taps[layer.name].max() <= values.hi


def test_what_is_common_is_computed_once(tmp_path):
    network = imported(chain(*GRAPHS["residual"]), tmp_path)
    (add,) = [layer for layer in network.layers if isinstance(layer, Add)]
    assert [len(branch) for branch in add.branches] == [2, 0]
    assert sum(isinstance(layer, Conv) for layer in network.walk()) == 2 and add.factors == (2, 1)


@pytest.mark.parametrize(("nodes", "complaint"), [
    ((conv(1), quant(0.3, 4), node("Add", "t2")), r"Add_5 .*scales 0.3, 0.125, which are no multiples"),
    ((conv(1, 3), quant(0.25, 4), node("Add", "t2")), r"Add_5 .*6x5x3, 6x5x2"),
    ((conv(1), quant(0.25, 4), node("Concat", "t2", axis=2)), r"Concat_5 .*along axis 2; only channels"),
    ((conv(1), node("BatchNormalization", *np.float32([[1, 2], [0, 1], [1, 0], [1, 1]])), node("Add", "t2")),
     r"Add_5 .*put a Quant node"),
    ((node("MatMul", "t2"),), r"MatMul_3 .*takes several activations"),
    ((node("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), 0.0), node("Add", "t3")), r"Add_4 .*follows a Pad node"),
])
def test_refused(nodes, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint):
        imported(chain(*START, *nodes, bipolar(), *end(60)), tmp_path)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", GRAPHS)
def test_hardware_against_the_golden_model(name, seed, tmp_path):
    network = imported(chain(*GRAPHS[name]), tmp_path)
    check(network, seed, lambda images: golden.run(network, np.array(images, np.uint8)))


ALIKE = (
    *START, conv(1), quant(1 / 4, 4), node("Add", "t2"), quant(1 / 4, 4),
    conv(2), quant(1 / 8, 4), node("Add", "t6"), quant(1 / 8, 4),
    conv(3), quant(1 / 8, 4), node("Sub", "t10", ...), quant(1 / 8, 4),
    conv(4), quant(1 / 8, 4), node("Sub", ..., "t14"), quant(1 / 8, 4),
    conv(5, 1), quant(1 / 8, 4), node("Concat", "t18", axis=1),
    conv(6, 1, 3), quant(1 / 8, 4), ("Conv", ("t18", signs(2, 2, 1, 1)), {}), quant(1 / 8, 4),
    node("Concat", "t23", axis=1), *end(90))


def test_joins_alike_but_wired_differently(tmp_path):
    """Their ports are the same; what they compute of them is not, but for the differences, which share a module."""
    network = imported(chain(*ALIKE), tmp_path)
    joins = [layer for layer in network.walk() if isinstance(layer, Add | Concat)]
    assert [join.factors for join in joins[:4]] == [(2, 1), (1, 2), (1, -1), (1, -1)]
    assert [[end.channels for end in join.ends] for join in joins[4:]] == [[1, 2], [2, 1]]
    foldings = {stage.name: Folding() for stage in stages(network)}
    _, files = emit(network, foldings, tmp_path / "rtl", 1)
    assert [sum(f"_{kind}_" in name for name in files) for kind in ("add", "concat")] == [3, 2]
    images = np.random.default_rng(1).integers(0, 256, (3, *network.input.shape), np.uint8)
    prepare(network, foldings, images, tmp_path / "sim", build=1)
    assert simulate(tmp_path / "rtl", tmp_path / "sim", only=r"\bframes$")["frames"] == 3
