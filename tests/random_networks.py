"""Random small QONNX models: every kind of layer, quantiser and awkward size that the importer takes.

Scales of weights and activations are powers of two, so that float32 sums are exact in any order and the
reference executor's scores are the only right ones.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QUANTISERS = ("onnx.brevitas", "qonnx.custom_op.general")


def random_network(seed, batch=1, choice=False):
    """Build a model from a seed.

    Parameters
    ----------
    seed : int
        Decides everything but the batch.
    batch : int
        Images at once. The importer takes 1; more are for the reference executor.
    choice : bool
        End with ArgMax instead of scores.

    Returns
    -------
    model : onnx.ModelProto
    shape : tuple
        Of the input: (batch, channels, height, width).
    """
    return _Builder(np.random.default_rng(seed), batch).network(choice)


class _Builder:
    """Grows a graph; ``self.shape`` is (channels, height, width) or (features,) of ``self.tensor``."""

    def __init__(self, rng, batch):
        self.rng, self.batch = rng, batch
        self.nodes, self.constants = [], []
        self.tensor, self.scale = "image", 1.0
        self.domain = self.pick(QUANTISERS)

    def network(self, choice):
        self.shape = tuple(int(n) for n in self.rng.integers((1, 5, 5), (4, 12, 12)))
        shape = (self.batch, *self.shape)
        integer_input = self.input_quantiser()
        for _ in range(self.rng.integers(4)):
            self.convolution()
        self.flatten()
        for _ in range(self.rng.integers(3)):
            self.dense(int(self.rng.integers(2, 20)))
            self.normalise()
            self.quantise()
        self.dense(int(self.rng.integers(2, 11)), comparable=choice)
        if choice:
            self.node("ArgMax", axis=1, keepdims=0)
        elif self.chance(0.7):
            self.normalise()
        return self.model(shape, integer_input, choice), shape

    # The graph

    def node(self, op, *constants, domain="", **attributes):
        inputs = [self.constant(value) for value in constants]
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.tensor, *inputs], [output], domain=domain, **attributes))
        self.tensor = output

    def constant(self, value, name=None):
        if isinstance(value, str):
            return value
        name = name or f"c{len(self.constants)}"
        value = np.asarray(value)
        value = value.astype(np.int64 if value.dtype.kind == "i" else np.float32)
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def model(self, shape, integer_input, choice):
        kind = TensorProto.INT64 if choice else TensorProto.FLOAT
        sizes = (self.batch,) if choice else (self.batch, *self.shape)
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(self.tensor, kind, sizes)],
            self.constants,
        )
        if integer_input:
            annotation = onnx.TensorAnnotation(tensor_name="image")
            annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="UINT8")
            graph.quantization_annotation.append(annotation)
        opsets = [helper.make_opsetid("", 11), helper.make_opsetid(self.domain, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability):
        return self.rng.random() < probability

    def power(self):
        return 2.0 ** int(self.rng.integers(-4, 2))

    # Layers

    def input_quantiser(self):
        """Return whether the graph takes bytes as they are, to 255."""
        kind = self.pick(("bytes", "sign", "fixed", "normalised"))
        if kind == "bytes":
            return True
        if kind == "normalised":
            column = (1, self.shape[0], 1, 1)
            self.node("Sub", self.rng.uniform(0.3, 0.6, column))
            self.node("Div", self.rng.uniform(0.1, 0.4, column))
        else:
            self.node("Mul", 2.0)
            self.node("Sub", np.array([1.0]))
        if kind == "sign":
            self.bipolar(1.0)
        else:
            self.quant(1 / 128 if kind == "fixed" else 1 / 32, 8)
        return False

    def bipolar(self, scale):
        self.node("BipolarQuant", scale, domain=self.domain)
        self.scale = scale

    def quant(self, scale, bits, signed=1, narrow=0, zero=0.0, rounding="ROUND"):
        self.node(
            "Quant",
            scale,
            zero,
            float(bits),
            domain=self.domain,
            signed=signed,
            narrow=narrow,
            rounding_mode=rounding,
        )
        self.scale = scale

    def convolution(self):
        channels, height, width = self.shape
        kernel = [int(self.rng.integers(1, 4)) for _ in range(2)]
        stride = [int(self.rng.integers(1, 3)) for _ in range(2)]
        pads = self.pads(kernel) if self.chance(0.6) else [0, 0, 0, 0]
        if self.chance(0.3):
            sizes = self.pads((2, 2))
            value = self.scale * self.pick((-1, 1))
            self.node("Pad", np.array([0, 0, *sizes[:2], 0, 0, *sizes[2:]]), value)
            height, width, pads = height + sizes[0] + sizes[2], width + sizes[1] + sizes[3], [0, 0, 0, 0]
        size = [
            (size + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1
            for i, size in enumerate((height, width))
        ]
        if min(size) < 1:
            kernel, stride, size, pads = [1, 1], [1, 1], [height, width], [0, 0, 0, 0]
        outputs = int(self.rng.integers(1, 12))
        weights = self.weights((outputs, channels, *kernel), axis=0)
        bias = [self.rng.normal(0, 2, outputs)] if self.chance(0.2) else []
        self.node("Conv", weights, *bias, kernel_shape=kernel, strides=stride, pads=pads)
        self.shape = (outputs, *size)
        early = self.chance(0.3)
        if early:
            self.pool("MaxPool")
        self.normalise()
        if not early and self.chance(0.3):
            self.pool("MaxPool")
        self.quantise()
        if not early and self.chance(0.5):
            self.pool(self.pick(("MaxPool", "AveragePool")))

    def pads(self, kernel):
        return [int(self.rng.integers(kernel[i % 2])) for i in range(4)]

    def pool(self, op):
        channels, height, width = self.shape
        if height < 2 or width < 2:
            return
        kernel = self.pick(([2, 2], [1, 2], [2, 1]) if op == "AveragePool" else ([2, 2], [3, 2], [2, 3]))
        kernel = [min(k, n) for k, n in zip(kernel, (height, width), strict=True)]
        stride = [int(self.rng.integers(1, 3)) for _ in range(2)]
        pads, ceil = [0, 0, 0, 0], 0
        if op == "MaxPool":
            pads = [0, 0, int(self.rng.integers(kernel[0])), int(self.rng.integers(kernel[1]))]
        self.node(op, kernel_shape=kernel, strides=stride, pads=pads, ceil_mode=ceil)
        sizes = [(n + pads[i + 2] - kernel[i]) // stride[i] + 1 for i, n in enumerate((height, width))]
        self.shape = (channels, *sizes)
        if op == "AveragePool":
            self.scale /= kernel[0] * kernel[1]

    def flatten(self):
        kind = self.pick(("flatten", "reshape", "global max", "global average"))
        if kind == "flatten":
            self.node("Flatten", axis=1)
        elif kind == "reshape":
            self.node("Reshape", np.array([0, -1]))
        else:
            self.node("GlobalMaxPool" if kind == "global max" else "GlobalAveragePool")
            self.shape = self.shape[0], 1, 1
            if kind == "global average":
                self.quant(self.power(), 4)
            self.node("Flatten", axis=1)
        self.shape = (int(np.prod(self.shape)),)

    def dense(self, outputs, comparable=False):
        (features,) = self.shape
        if self.chance(0.3) and not comparable:
            self.node(
                "Gemm", self.weights((outputs, features), axis=0), self.rng.normal(0, 1, outputs), transB=1
            )
        else:
            self.node("MatMul", self.weights((features, outputs), axis=1, one_scale=comparable))
        self.shape = (outputs,)

    def weights(self, shape, axis, one_scale=False):
        """Name of a tensor of quantised weights, scaled for each output or for all."""
        latent = self.constant(self.rng.uniform(-1, 1, shape), f"layer_{len(self.constants)}.weight")
        sizes = np.ones(len(shape), int)
        sizes[axis] = shape[axis]
        scale = 2.0 ** self.rng.integers(-3, 1, sizes) if self.chance(0.4) and not one_scale else self.power()
        tensor, self.tensor = self.tensor, latent
        kind = self.pick(("binary", "binary", "ternary", "integer", "constant"))
        if kind == "binary":
            self.node("BipolarQuant", scale, domain=self.domain)
        elif kind == "ternary":
            self.node("Quant", scale, 0.0, 2.0, domain=self.domain, signed=1, narrow=1)
        elif kind == "integer":
            bits = int(self.rng.integers(2, 9))
            self.node(
                "Quant",
                scale * 2.0 ** (1 - bits),
                0.0,
                float(bits),
                domain=self.domain,
                signed=1,
                narrow=int(self.rng.integers(2)),
            )
        else:
            self.tensor = self.constant(self.rng.integers(-3, 4, shape) * scale, f"c{len(self.constants)}")
        tensor, self.tensor = self.tensor, tensor
        return tensor

    def normalise(self):
        """Scale and shift each channel, some of them by a negative number or zero."""
        count = self.shape[0]
        spread = 3.0 * self.scale
        gain = self.rng.normal(0, 0.5, count) * self.rng.integers(0, 10, count).clip(max=1)
        if self.chance(0.6):
            self.node(
                "BatchNormalization",
                gain,
                self.rng.normal(0, 0.5, count),
                self.rng.normal(0, spread, count),
                self.rng.uniform(0.2, 4, count) * spread**2,
                epsilon=1e-4,
            )
            return
        column = (count, *[1] * (len(self.shape) - 1))
        self.node("Mul", (gain / spread).reshape(column))
        self.node("Add", self.rng.normal(0, 0.5, column))
        if self.chance(0.3):
            self.node("Neg")

    def quantise(self):
        """Quantise to 1 to 8 bits, one of the quantisers."""
        kind = self.pick(("bipolar", "bipolar", "signed", "unsigned", "thresholds", "shifted"))
        if kind == "bipolar":
            self.bipolar(self.power())
        elif kind == "thresholds":
            levels = int(self.rng.integers(1, 8))
            rows = np.sort(self.rng.normal(0, 1, (self.pick((1, self.shape[0])), levels)))
            self.node(
                "MultiThreshold",
                rows,
                domain="qonnx.custom_op.general",
                out_dtype="INT8",
                out_scale=0.5,
                out_bias=-0.25 * levels,
                data_layout="NCHW"[: len(self.shape) + 1],
            )
            self.scale = 0.25 if levels % 2 else 0.5
        else:
            bits = int(self.rng.integers(2, 9)) if kind == "signed" else int(self.rng.integers(1, 9))
            if kind == "unsigned":
                self.node("Relu")
            self.quant(
                2.0 ** (2 - bits),
                bits,
                signed=int(kind == "signed"),
                narrow=int(self.chance(0.3) and bits > 1),
                zero=float(self.rng.integers(2**bits)) if kind == "shifted" else 0.0,
                rounding=self.pick(("ROUND", "FLOOR", "CEIL", "HALF_UP", "HALF_DOWN", "UP", "DOWN")),
            )
