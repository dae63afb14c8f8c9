"""Turns a float32 ONNX graph into one of 8-bit integers that reads a text the same in any batch.

Weights have a scale for each output channel, activations one for each token vector, computed at run time.
With one scale for a whole batch, as in onnxruntime's own dynamic quantisation, texts change each other's
logits. Only standard operators are used: onnxruntime joins `DequantizeLinear` and `MatMul` into products of
integers when it loads a graph. Knows nothing about models or tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.engine.models.exports import no_extra

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

HIGHEST = 127
"""Integers are -127 to 127, so that a scale is the same on both sides of 0."""
MIDDLE = 128
"""What stands for 0 in unsigned activations, which processors multiply fastest with signed weights."""
SMALLEST = 1e-12
"""The least scale: a vector of zeros has none of its own."""
FEWEST_WEIGHTS = 1024
"""Smaller matrices, such as a head of few classes, stay in float32."""
TOKENS = "input_ids"
SAME_INDICES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators behind which token ids are still token ids."""


def quantize(source: Path, target: Path) -> None:
    """Write the graph at `source` with 8-bit matrix products and an 8-bit token table.

    Products of two activations (attention) and all other operators stay in float32.

    Raises:
        SystemProblem: without the package `onnx`.
    """
    try:
        import onnx
    except ImportError as error:
        raise no_extra(error) from error
    model = onnx.load(source)
    _Rewriting(model.graph).run()
    onnx.save(model, target)


class _Rewriting:
    """One graph while its nodes are replaced."""

    def __init__(self, graph: GraphProto) -> None:
        from onnx import numpy_helper

        self.graph = graph
        self.weights = {
            one.name: numpy_helper.to_array(one)
            for one in graph.initializer
            if len(one.dims) > 1 and one.data_type == 1  # float32
        }
        self.tables = _token_tables(graph)
        self.constants: dict[str, NDArray[Any]] = {}
        self.rows: dict[str, tuple[str, str]] = {}
        """Activation -> its shares and its scales: queries, keys and values read the same one."""
        self.nodes: list[NodeProto] = []

    def run(self) -> None:
        """Replace what can be replaced, and drop the weights that nothing reads any more."""
        from onnx import numpy_helper

        for node in list(self.graph.node):
            if node.op_type == "Conv":
                self._store_filters(node)
            if not (self._product(node) or self._lookup(node)):
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        read = set(_read(self.graph))
        kept = [one for one in self.graph.initializer if one.name in read]
        made = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*kept, *made])
        del self.graph.value_info[:]  # of tensors that are gone

    def _product(self, node: NodeProto) -> bool:
        """Replace a product of an activation [..., K] and a weight [K, N]."""
        settings = _settings(node)
        if node.op_type not in ("MatMul", "Gemm") or settings.get("transA"):
            return False
        if settings.get("alpha", 1.0) != 1.0 or settings.get("beta", 1.0) != 1.0:
            return False
        found = self.weights.get(node.input[1])
        if found is None or found.ndim != 2 or found.size < FEWEST_WEIGHTS:
            return False
        shares, scales = self._activation(node.input[0])
        weight = self._weight(node.input[1], bool(settings.get("transB")))
        output = node.output[0]
        product = self._add("MatMul", [shares, weight], output, "product")
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        if bias is None:
            self._add("Mul", [product, scales], output)
        else:
            self._add("Add", [self._add("Mul", [product, scales], output, "by-row"), bias], output)
        return True

    def _activation(self, name: str) -> tuple[str, str]:
        """An activation [..., K] over the largest number of each vector, and those numbers [..., 1]."""
        if name not in self.rows:
            smallest = self._constant("smallest", np.float32(SMALLEST))
            axis = self._constant("last-axis", np.array([-1], np.int64))
            step = self._constant("step", np.float32(1 / HIGHEST))
            middle = self._constant("middle", np.uint8(MIDDLE))
            sizes = self._add("Abs", [name], name, "sizes")
            largest = self._add("ReduceMax", [sizes, axis], name, "largest", keepdims=1)
            scales = self._add("Max", [largest, smallest], name, "scales")
            exact = self._add("Div", [name, scales], name, "exact-shares")
            integers = self._add("QuantizeLinear", [exact, step, middle], name, "integers")
            self.rows[name] = self._add("DequantizeLinear", [integers, step, middle], name, "shares"), scales
        return self.rows[name]

    def _weight(self, name: str, turned: bool) -> str:
        """A weight [K, N], stored as integers with a scale for each column."""
        stored = f"{name}/int8/{'turned' if turned else 'weight'}"
        if stored not in self.constants:
            weight = self.weights[name].T if turned else self.weights[name]
            self.constants[stored], scales = _integers(weight, axis=0)
            self.constants[f"{stored}-scales"] = scales[0].astype(np.float32)
            self.constants[f"{stored}-zeros"] = np.zeros(scales.shape[1], np.int8)
            inputs = [stored, f"{stored}-scales", f"{stored}-zeros"]
            self._add("DequantizeLinear", inputs, stored, "numbers", axis=1)
        return f"{stored}/int8/numbers"

    def _lookup(self, node: NodeProto) -> bool:
        """Replace a lookup in the token table, which has a scale for each token."""
        table = node.input[0] if node.op_type == "Gather" else ""
        if table not in self.tables or table not in self.weights or _settings(node).get("axis", 0):
            return False
        stored = f"{table}/int8/table"
        if stored not in self.constants:
            integers, scales = _integers(self.weights[table], axis=1)
            self.constants[stored] = integers
            self.constants[f"{stored}-scales"] = scales.astype(np.float32)
        output, places = node.output[0], node.input[1]
        numbers = self._add(
            "Cast", [self._add("Gather", [stored, places], output, "row")], output, "numbers", to=1
        )
        steps = self._add("Gather", [f"{stored}-scales", places], output, "scales")
        self._add("Mul", [numbers, steps], output)
        return True

    def _store_filters(self, node: NodeProto) -> None:
        """Store a convolution's weight as integers, which become float32 again when the graph is loaded."""
        found = self.weights.get(node.input[1])
        if found is None or found.size < FEWEST_WEIGHTS:
            return
        stored = f"{node.input[1]}/int8/filters"
        if stored not in self.constants:
            integers, scales = _integers(found.reshape(len(found), -1), axis=1)
            self.constants[stored] = integers.reshape(found.shape)
            self.constants[f"{stored}-scales"] = scales[:, 0].astype(np.float32)
            self._add("DequantizeLinear", [stored, f"{stored}-scales"], stored, "numbers", axis=0)
        node.input[1] = f"{stored}/int8/numbers"

    def _add(self, kind: str, inputs: list[str], about: str, part: str = "", **settings: Any) -> str:
        """Append a node, whose output is the tensor `about` itself or a part of it."""
        from onnx import helper

        output = f"{about}/int8/{part}" if part else about
        self.nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self.constants[f"int8/{name}"] = np.asarray(value)
        return f"int8/{name}"


def _integers(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The nearest integers, and the scales along `axis` that turn them back."""
    scales = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), SMALLEST) / HIGHEST
    return np.round(weight / scales).astype(np.int8), scales


def _token_tables(graph: GraphProto) -> set[str]:
    """The names of all that is looked up by token ids."""
    tokens, tables = {TOKENS}, set()
    for node in graph.node:  # in the order in which they are computed
        if node.op_type in SAME_INDICES and node.input[0] in tokens:
            tokens.update(node.output)
        elif node.op_type == "Gather" and node.input[1] in tokens:
            tables.add(node.input[0])
    return tables


def _read(graph: GraphProto) -> Iterator[str]:
    """The names of all tensors that nodes read, those of branches and loops included."""
    for node in graph.node:
        yield from node.input
        for one in node.attribute:
            for inner in (one.g, *one.graphs):
                yield from _read(inner)


def _settings(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}
