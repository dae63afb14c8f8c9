"""8-bit graphs: close to float32, the same for a row in any batch, and small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dkd_cli.engine.deploy.int8 import quantize

Values = NDArray[Any]
RANDOM = np.random.default_rng(0)


def draw(*shape: int) -> Values:
    return RANDOM.normal(size=shape).astype(np.float32)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, Values],
    inputs: Mapping[str, tuple[int, Sequence[str | int]]],
    rank: int,
) -> Path:
    """A graph with the output `logits`."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def run(path: Path, **inputs: Values) -> Values:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, inputs)
    return np.asarray(found)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A product over token vectors, as in a feed-forward layer."""
    node = helper.make_node("MatMul", ["x", "weight"], ["logits"])
    inputs = {"x": (TensorProto.FLOAT, ["rows", "tokens", 48])}
    return save(tmp_path / "layer.onnx", [node], {"weight": draw(48, 32)}, inputs, rank=3)


def test_a_row_does_not_depend_on_the_rows_beside_it(layer: Path, tmp_path: Path) -> None:
    quantize(layer, tmp_path / "int8.onnx")
    alone = draw(1, 5, 48)
    beside = np.concatenate([alone, 1000 * draw(3, 5, 48), np.zeros((1, 5, 48), np.float32)])
    found = run(tmp_path / "int8.onnx", x=beside)
    assert np.array_equal(found[:1], run(tmp_path / "int8.onnx", x=alone))
    expected = run(layer, x=beside)
    assert np.abs(found[0] - expected[0]).max() < 0.03 * np.abs(expected[0]).max()
    assert not np.array_equal(found[0], expected[0])
    assert not found[-1].any(), "zeros stay zeros"


def test_onnxruntime_multiplies_integers(layer: Path, tmp_path: Path) -> None:
    """Products of float32 would give the same numbers in several times the time."""
    quantize(layer, tmp_path / "int8.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])
    assert "MatMulIntegerToFloat" in operators(tmp_path / "run.onnx")
    assert "MatMul" not in operators(tmp_path / "run.onnx")


def test_a_bias_and_a_turned_weight(tmp_path: Path) -> None:
    """`Gemm` is what torch's linear layers become."""
    node = helper.make_node("Gemm", ["x", "weight", "bias"], ["logits"], transB=1)
    weights = {"weight": draw(32, 48), "bias": draw(32)}
    source = save(tmp_path / "g.onnx", [node], weights, {"x": (TensorProto.FLOAT, ["rows", 48])}, rank=2)
    quantize(source, tmp_path / "int8.onnx")
    x = np.concatenate([draw(6, 48), np.zeros((1, 48), np.float32)])
    found, expected = run(tmp_path / "int8.onnx", x=x), run(source, x=x)
    assert "QuantizeLinear" in operators(tmp_path / "int8.onnx")
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()
    assert np.array_equal(found[-1], weights["bias"])


def test_what_is_shared_is_stored_and_scaled_once(tmp_path: Path) -> None:
    """ALBERT's layers share weights; queries, keys and values read the same vectors."""
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["a"]),
        helper.make_node("MatMul", ["x", "other"], ["b"]),
        helper.make_node("MatMul", ["a", "weight"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["logits"]),
    ]
    weights = {"weight": draw(40, 40), "other": draw(40, 40)}
    source = save(tmp_path / "s.onnx", nodes, weights, {"x": (TensorProto.FLOAT, ["rows", 40])}, rank=2)
    quantize(source, tmp_path / "int8.onnx")
    kinds = operators(tmp_path / "int8.onnx")
    assert (kinds.count("MatMul"), kinds.count("QuantizeLinear")) == (3, 2)
    stored = {one.name: one for one in onnx.load(tmp_path / "int8.onnx").graph.initializer}
    assert not stored.keys() & weights.keys()
    assert sum(one.data_type == TensorProto.INT8 and len(one.dims) == 2 for one in stored.values()) == 2


def test_a_token_table_has_a_scale_for_each_token(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Gather", ["places", "position_ids"], ["where"]),
        helper.make_node("Add", ["words", "where"], ["logits"]),
    ]
    table = draw(100, 16) * 10.0 ** np.arange(-2, 3).repeat(20)[:, None].astype(np.float32)
    inputs = dict.fromkeys(("input_ids", "position_ids"), (int(TensorProto.INT64), ["rows", "tokens"]))
    source = save(tmp_path / "t.onnx", nodes, {"table": table, "places": 0 * draw(8, 16)}, inputs, rank=3)
    quantize(source, tmp_path / "int8.onnx")
    ids = np.arange(100, dtype=np.int64)[None]
    found = run(tmp_path / "int8.onnx", input_ids=ids, position_ids=0 * ids)[0]
    assert (np.abs(found - table).max(axis=1) <= 0.51 * np.abs(table).max(axis=1) / 127).all()
    assert {"places"} <= {one.name for one in onnx.load(tmp_path / "int8.onnx").graph.initializer}


def test_a_convolution_is_stored_small_and_computed_in_float32(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "weight"], ["logits"], pads=[1, 1])
    weights = {"weight": draw(32, 16, 3)}
    source = save(tmp_path / "c.onnx", [node], weights, {"x": (TensorProto.FLOAT, ["rows", 16, "n"])}, rank=3)
    quantize(source, tmp_path / "int8.onnx")
    x = np.concatenate([draw(1, 16, 9), 1000 * draw(1, 16, 9)])
    found, expected = run(tmp_path / "int8.onnx", x=x), run(source, x=x)
    assert np.abs(found[0] - expected[0]).max() < 0.03 * np.abs(expected[0]).max()
    assert np.allclose(found[:1], run(tmp_path / "int8.onnx", x=x[:1]), atol=1e-5)
    assert (tmp_path / "int8.onnx").stat().st_size < 0.5 * source.stat().st_size


def test_products_of_activations_and_small_heads_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "y"], ["scores"]),
        helper.make_node("MatMul", ["scores", "head"], ["logits"]),
    ]
    inputs = {"x": (TensorProto.FLOAT, ["n", 16]), "y": (TensorProto.FLOAT, [16, 32])}
    source = save(tmp_path / "a.onnx", nodes, {"head": draw(32, 2)}, inputs, rank=2)
    quantize(source, tmp_path / "int8.onnx")
    assert operators(tmp_path / "int8.onnx") == ["MatMul", "MatMul"]
