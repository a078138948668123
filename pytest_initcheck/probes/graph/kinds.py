"""What kind of site an operation is by itself, and what it is called. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Collection

from pytest_initcheck.probes.graph.nodes import Node

_OPS = {"concatenate": "cat", "max": "amax", "min": "amin", "take": "slice"}
_KINDS = {
    "concatenate": "cat",
    "update": "cat",
    "gather": "slice",
    "windows": "slice",
    "slice": "slice",
    "take": "slice",
    "softmax": "softmax",
    "log_softmax": "softmax",
    "add": "add",
    "sub": "add",
    "mul": "mul",
    "div": "mul",
}
_POOLS = frozenset({"mean", "sum", "max", "min"})
_WINDOWS = {"window_max": "max_pool", "window_min": "min_pool", "window_mean": "avg_pool"}
_WINDOWS |= {"window_sum": "sum_pool"}
NORMS = frozenset({"layer_norm", "batch_norm", "group_norm", "rms_norm"})
_SCALES = frozenset({"rsqrt", "sqrt", "var", "reciprocal"})
_GUARDS = frozenset({"add", "mul", "div", "clip", "maximum"})
"""What leaves a scale a scale: kept away from zero, counted per element."""


def kind_of(node: Node, reads: Collection[str]) -> tuple[str, str]:
    """Return (kind, op) of a site; ``reads`` are the kinds of the sites that it reads."""
    op = _OPS.get(node.op, node.op)
    if node.op in _WINDOWS:
        return "pool", window_op(node.op, sum(int(n) > 1 for n in node.settings["size"]))
    if node.op in NORMS or (node.op in ("mul", "div") and len(reads) > 1 and "scale" in reads):
        return "norm", op
    if node.op in _SCALES or (node.op in _GUARDS and list(reads) == ["scale"]):
        return "scale", op
    return ("pool" if node.op in _POOLS else _KINDS.get(node.op, "other")), op


def window_op(op: str, dimensions: int) -> str:
    """Return what a pool over windows of so many dimensions is called, or the operation itself.

    >>> window_op("window_max", 2), window_op("mean", 2)
    ('max_pool2d', 'mean')
    """
    return f"{_WINDOWS[op]}{max(dimensions, 1)}d" if op in _WINDOWS else op
