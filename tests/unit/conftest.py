"""Graphs made by hand, and a flow that evaluates them with numpy: no framework has a part in it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_initcheck.probes.graph.elementwise import evaluated
from pytest_initcheck.probes.graph.flow import Leaf, Pullback
from pytest_initcheck.probes.graph.nodes import Graph, Node

VIEWS = ("reshape", "transpose", "broadcast", "cast", "slice", "take", "concatenate", "pad", "reverse")


class GraphMaker:
    """Records one node per call, with its value: ``make("add", x, 1.0)`` returns the node's index."""

    def __init__(self, dtype="float64"):
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.values: list[np.ndarray] = []
        self.leaves: list[Leaf] = []
        self.by_name: dict[str, int] = {}

    def append(self, op, reads, value, label="", constant=None, **settings):
        value = np.asarray(value)
        self.nodes.append(
            Node(len(self.nodes), op, reads, value.shape, str(value.dtype), settings, label, constant)
        )
        self.values.append(value)
        return len(self.nodes) - 1

    def input(self, value, name="input"):
        return self.append("input", (), value, name)

    def parameter(self, name, value, **leaf):
        """A leaf; the same name again is the same node."""
        if name not in self.by_name:
            value = np.asarray(value, self.dtype)
            self.leaves.append(Leaf(name, value, **leaf))
            self.by_name[name] = self.append("parameter", (), value, name)
        return self.by_name[name]

    def state(self, value):
        return self.append("state", (), np.asarray(value, self.dtype))

    def random(self, value):
        return self.append("random", (), np.asarray(value))

    def constant(self, value):
        value = np.asarray(value)
        return self.append("constant", (), value, constant=value)

    def make(self, op, *reads, label="", shape=None, dtype=None, **settings):
        """Apply an operation to nodes; numbers and arrays among the operands are constants."""
        nodes = tuple(r if isinstance(r, int) else self.constant(np.asarray(r)) for r in reads)
        value = computed(op, settings, [self.values[n] for n in nodes], shape=shape, dtype=dtype)
        return self.append(op, nodes, value, label, **settings)

    def opaque(self, value, *reads, label=""):
        return self.append("opaque", reads, value, label)

    # -- what networks are made of

    def dense(self, x, name, weight, bias=None):
        w = self.parameter(f"{name}.kernel", weight)
        dimensions = len(self.nodes[x].shape)
        z = self.make("matmul", x, w, contract=((dimensions - 1,), (0,)), batch=((), ()))
        return z if bias is None else self.make("add", z, self.parameter(f"{name}.bias", bias))

    def conv(self, x, name, weight, last=True, **settings):
        k = len(self.nodes[x].shape) - 2
        axes = (0, k + 1, *range(1, k + 1)) if last else tuple(range(k + 2))
        kernel = (k + 1, k, *range(k)) if last else tuple(range(k + 2))
        defaults = {
            "strides": (1,) * k,
            "padding": ((0, 0),) * k,
            "image_dilation": (1,) * k,
            "kernel_dilation": (1,) * k,
            "groups": 1,
        }
        w = self.parameter(f"{name}.kernel", weight)
        return self.make("conv", x, w, image=axes, kernel=kernel, result=axes, **(defaults | settings))

    def mean(self, x, axes, keepdims=True):
        shape = self.nodes[x].shape
        count = math.prod(shape[a] for a in axes)
        return self.make("div", self.make("sum", x, axes=axes, keepdims=keepdims), float(count))

    def graph(self, *outputs):
        return Graph(tuple(self.nodes), outputs)

    def flow(self, *outputs, gradients=True):
        return HandmadeFlow(self, self.graph(*outputs), gradients)


class HandmadeFlow:
    """Evaluates a graph again with numpy; its gradients are central differences."""

    unobserved = ()

    def __init__(self, made, graph, differentiable):
        self.graph = graph
        self.leaves = tuple(made.leaves)
        self._values = made.values
        self._differentiable = differentiable

    def _run(self, parameters=None, noise=None, changed=None):
        parameters, noise, changed = parameters or {}, noise or {}, changed or {}
        values = []
        for node in self.graph.nodes:
            if node.op == "parameter" and node.label in parameters:
                value = parameters[node.label]
            elif node.leaf or node.op == "opaque":
                value = self._values[node.index]
            else:
                operands = [
                    values[read] + noise.get((node.index, at), 0) for at, read in enumerate(node.reads)
                ]
                value = computed(node.op, node.settings, operands, node.shape, node.dtype)
            value = value + noise[node.index, -1] if (node.index, -1) in noise else value
            values.append(changed.get(node.index, value))
        return values

    def run(self, wanted):
        values = self._run()
        yield from ((index, values[index]) for index in sorted(wanted))

    def outputs(self, parameters=None, noise=None):
        values = self._run(parameters, noise)
        return tuple(values[index] for index in self.graph.outputs)

    def gradients(self, target, cotangent, parameters, nodes=()):
        if not self._differentiable:
            return None
        leaves = {leaf.name: leaf.value for leaf in self.leaves if leaf.name in parameters}

        def at_parameter(name):
            return lambda value: np.sum(self._run({name: value})[target] * cotangent)

        def at_node(index):
            return lambda value: np.sum(self._run(changed={index: value})[target] * cotangent)

        values = self._run()
        return Pullback(
            {name: differences(at_parameter(name), value) for name, value in leaves.items()},
            {index: differences(at_node(index), values[index]) for index in nodes},
        )

    def step_gradients(self, parameters, cotangents, loss):
        if not self._differentiable:
            return None

        def total(name):
            def at(value):
                outputs = self.outputs({**parameters, name: value})
                if loss is not None:
                    return float(loss(outputs[0]))
                return sum(np.sum(y * c) for y, c in zip(outputs, cotangents, strict=True))

            return at

        return {name: differences(total(name), value) for name, value in parameters.items()}


def differences(function, value, step=1e-6):
    gradient = np.zeros(value.shape)
    for at in np.ndindex(value.shape):
        moved = []
        for sign in (1, -1):
            changed = np.array(value, np.float64)
            changed[at] += sign * step
            moved.append(function(changed))
        gradient[at] = (moved[0] - moved[1]) / (2 * step)
    return gradient


def computed(op, settings, operands, shape=None, dtype=None):
    """Return the value of an operation of the vocabulary."""
    x = operands[0]
    if op == "cast":
        return x.astype(dtype)
    if (value := evaluated(op, settings, operands)) is not None:
        return value
    if op in VIEWS:
        return viewed(op, settings, operands, shape)
    if op in ("sum", "mean", "var", "max", "min", "any", "all"):
        return getattr(np, op)(x, axis=tuple(settings["axes"]), keepdims=bool(settings.get("keepdims")))
    if op.startswith("window_"):
        return windowed(op, settings, x)
    if op == "matmul":
        return contracted(settings, *operands)
    if op == "conv":
        return convolved(settings, *operands)
    if op in ("softmax", "log_softmax"):
        z = x - x.max(axis=settings["axis"], keepdims=True)
        log = z - np.log(np.exp(z).sum(axis=settings["axis"], keepdims=True))
        return log if op == "log_softmax" else np.exp(log)
    if op == "layer_norm":
        axes = tuple(settings["axes"])
        normed = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        return normed * operands[1] + operands[2]
    raise NotImplementedError(op)


def viewed(op, settings, operands, shape):
    x = operands[0]
    if op == "reshape":
        return x.reshape(shape)
    if op == "transpose":
        return x.transpose(settings["axes"])
    if op == "broadcast":
        spread = [1] * len(shape)
        for size, axis in zip(x.shape, settings["axes"], strict=True):
            spread[axis] = size
        return np.broadcast_to(x.reshape(spread), shape)
    if op == "slice":
        return x[tuple(map(slice, settings["starts"], settings["limits"], settings["strides"]))]
    if op == "take":
        return np.take(x, operands[1], axis=settings["axis"])
    if op == "concatenate":
        return np.concatenate(operands, settings["axis"])
    if op == "reverse":
        return np.flip(x, settings["axes"])
    return np.pad(x, settings["padding"])


def windowed(op, settings, x):
    fill = {"window_max": -np.inf, "window_min": np.inf}.get(op, 0.0)
    padded = np.pad(x, settings["padding"], constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, settings["size"])
    windows = windows[tuple(slice(None, None, step) for step in settings["strides"])]
    return getattr(np, op.removeprefix("window_"))(windows, axis=tuple(range(x.ndim, 2 * x.ndim)))


def contracted(settings, left, right):
    gone, along = settings["contract"], settings["batch"]
    free = [
        [k for k in range(array.ndim) if k not in (*gone[i], *along[i])]
        for i, array in enumerate((left, right))
    ]
    label = iter("abcdefghijklmnopqrstuvwxyz")
    names = [[""] * left.ndim, [""] * right.ndim]
    for pairs in (along, gone):
        for one, other in zip(*pairs, strict=True):
            names[0][one] = names[1][other] = next(label)
    for i in (0, 1):
        for k in free[i]:
            names[i][k] = next(label)
    result = [names[0][k] for k in along[0]] + [names[i][k] for i in (0, 1) for k in free[i]]
    return np.einsum(f"{''.join(names[0])},{''.join(names[1])}->{''.join(result)}", left, right)


def convolved(settings, image, kernel):
    image, kernel = image.transpose(settings["image"]), kernel.transpose(settings["kernel"])
    k = image.ndim - 2
    steps = settings["image_dilation"]
    spread = np.zeros(
        (*image.shape[:2], *((n - 1) * s + 1 for n, s in zip(image.shape[2:], steps, strict=True)))
    )
    spread[(..., *(slice(None, None, s) for s in steps))] = image
    padded = np.pad(spread, ((0, 0), (0, 0), *settings["padding"]))
    gaps = settings["kernel_dilation"]
    reach = [(n - 1) * gap + 1 for n, gap in zip(kernel.shape[2:], gaps, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, k + 2)))
    windows = windows[(..., *(slice(None, None, gap) for gap in gaps))]
    windows = windows[(..., *(slice(None, None, s) for s in settings["strides"]), *(slice(None),) * k)]
    groups = settings["groups"]
    parts = [
        np.tensordot(part, weight, ((1, *range(k + 2, 2 * k + 2)), tuple(range(1, k + 2))))
        for part, weight in zip(np.split(windows, groups, 1), np.split(kernel, groups, 0), strict=True)
    ]
    result = np.moveaxis(np.concatenate(parts, -1), -1, 1)
    return result.transpose(np.argsort(settings["result"]))


@pytest.fixture
def made():
    """A graph in the making, in double precision."""
    return GraphMaker()
