"""Further passes over a model: gradient steps on its parameters, noise on its inputs.

Both run with dropout and stochastic depth off, from the seed of the first pass, and put the
parameters back.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.losses import loss_value
from pytest_initcheck.probes.readouts import standard_normal
from pytest_initcheck.probes.torch_origins import tensors_in
from pytest_initcheck.probes.torch_outputs import output_tensors
from pytest_initcheck.trace import FAINT_NOISE, NOISE, STEP, STEPS, Sensitivity, Training

_FEWEST_ENTRIES = 16
"""Smaller tensors may be equal by luck where weights are quantised, or on purpose."""
_COMPARED = 8
_ALIKE = 0.01
"""Rows whose changes differ by less than this share have moved alike: sums round differently."""

Forward = Callable[["Calm"], Any]
"""Runs the model under a dispatch mode, from the same seed every time, and returns its output."""


# -- gradient steps ------------------------------------------------------------------------------


def training(
    forward: Forward,
    call: Call,
    parameters: Mapping[str, Tensor],
    moved: frozenset[str],
    loss: Callable[..., Any] | None,
    seed: int,
) -> Training:
    """Take normalised gradient steps until every parameter has moved and nothing equal is left.

    * ``parameters`` are those that the forward pass used and that ask for a gradient; ``moved`` are
      known to receive one already.

    The loss is a random linear function of everything that the model returns, unless one is given.
    Raises ModelError for a loss that raises or is no single number.
    """
    equal = {name for name, p in parameters.items() if equal_rows(p)}
    twins = _twins(parameters)
    moved_now, reached, stepped, steps = set(moved), set(moved), set[str](), 0
    if not equal and not twins and moved_now == set(parameters):
        return Training(0, (), (), ())  # and no copy of the parameters
    with _put_back(parameters) as before:
        while steps < STEPS and (equal or twins or moved_now != set(parameters)):
            gradients = _gradients(forward, call, parameters, loss, seed)
            steps += 1
            reached |= set(gradients)
            alive = {name: g for name, g in gradients.items() if bool(g.any())}
            moved_now |= set(alive)
            stepped |= _step(parameters, alive)
        equal = {n for n in equal if n in stepped and _stays_equal(before[n], parameters[n])}
        twins = [
            (one, other)
            for one, other in twins
            if {one, other} <= stepped and _stay_alike(before[one], parameters[one], parameters[other])
        ]
    return Training(
        steps,
        stuck=tuple(name for name in parameters if name in reached and name not in moved_now),
        cut_off=tuple(name for name in parameters if name not in reached),
        equal=tuple(name for name in parameters if name in equal),
        twins=tuple(twins),
    )


def equal_rows(parameter: Tensor) -> bool:
    """Tell whether a matrix has more than one row, or column, and all of them are equal."""
    return any(
        bool((rows[0] == rows[-1]).all()) and bool((rows == rows[:1]).all())
        for rows in _rows_and_columns(parameter)
    )


def _stays_equal(before: Tensor, after: Tensor) -> bool:
    """Tell whether rows (or columns) that were equal have moved alike, but for rounding."""
    changes = reductions.plain(after) - reductions.plain(before)
    for rows, moved in zip(_rows_and_columns(before), _rows_and_columns(changes), strict=True):
        if bool((rows == rows[:1]).all()):
            apart = (moved - moved.mean(0, keepdim=True)).square().mean()
            if bool(apart <= _ALIKE**2 * moved.square().mean()):
                return True
    return False


def _twins(parameters: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Return the tensors that hold the numbers of an earlier one, as after a deepcopy, each with that.

    A tensor of at most two values, as constants and identities are, was drawn by nobody.
    """
    first: dict[tuple[Any, ...], list[str]] = {}
    found = []
    for name, parameter in parameters.items():
        flat = reductions.plain(parameter).reshape(-1)
        if flat.numel() < _FEWEST_ENTRIES:
            continue
        alike = first.setdefault((parameter.shape, *flat[:_COMPARED].tolist()), [])
        twin = next((n for n in alike if torch.equal(parameters[n], parameter)), None)
        if twin is None:
            alike.append(name)
        elif not bool(((flat == flat.amin()) | (flat == flat.amax())).all()):
            found.append((twin, name))
    return found


def _stay_alike(before: Tensor, one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors that were equal have moved alike, but for rounding."""
    moved = reductions.plain(one) - reductions.plain(before)
    apart = reductions.plain(one) - reductions.plain(other)
    return bool(apart.square().mean() <= _ALIKE**2 * moved.square().mean())


def _rows_and_columns(tensor: Tensor) -> tuple[Tensor, ...]:
    if tensor.dim() < 2 or tensor.numel() == 0:
        return ()
    matrix = tensor.detach().reshape(tensor.shape[0], -1)
    return tuple(rows for rows in (matrix, matrix.t()) if min(matrix.shape) > 1)


@contextmanager
def _put_back(parameters: Mapping[str, Tensor]) -> Iterator[Mapping[str, Tensor]]:
    """Put the parameters back afterwards; what it yields are their values before."""
    saved = {name: p.detach().clone() for name, p in parameters.items()}
    try:
        yield saved
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.data.copy_(saved[name])


def _gradients(
    forward: Forward,
    call: Call,
    parameters: Mapping[str, Tensor],
    loss: Callable[..., Any] | None,
    seed: int,
) -> dict[str, Tensor]:
    output = forward(Calm())
    value = _random_readout(output, seed) if loss is None else _loss_value(loss, output, call)
    if value is None or not value.requires_grad:
        return {}
    found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    return {name: g for name, g in zip(parameters, found, strict=True) if g is not None}


def _random_readout(output: Any, seed: int) -> Tensor | None:
    """Return a random linear function of every number that the model put out."""
    rng = np.random.default_rng(seed)
    total: Tensor | None = None
    for tensor in output_tensors(output):
        if not tensor.requires_grad:
            continue
        values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        drawn = torch.from_numpy(standard_normal(rng, tuple(values.shape)))
        weights = drawn.to(values.device, values.dtype)
        part = (values * weights).sum() / math.sqrt(max(values.numel(), 1))
        total = part if total is None else total + part
    return total


def _loss_value(loss: Callable[..., Any], output: Any, call: Call) -> Tensor:
    """Return the number that the user's loss makes of the output.

    Raises ModelError if it raises or returns no single number.
    """
    value = loss_value(loss, output, call)
    if not isinstance(value, Tensor) or value.numel() != 1:
        shown = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ModelError(f"loss= must return a tensor with one number, got {shown}")
    return value.reshape(())


def _step(parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> set[str]:
    """Move every tensor by the same root mean square, however small its gradient is.

    Returns the names of those that moved: where a gradient is not finite there is no step.
    """
    stepped = set()
    with torch.no_grad():
        for name, gradient in gradients.items():
            largest = gradient.abs().amax()
            if not bool(torch.isfinite(largest)):
                continue
            unit = gradient / largest  # squares of small gradients would be zero
            rms = unit.abs().square().mean().sqrt()
            parameters[name].data.sub_((STEP / rms) * unit)
            stepped.add(name)
    return stepped


# -- noise ---------------------------------------------------------------------------------------


def sensitivity(forward: Forward, output: Tensor, seed: int, chaotic: float) -> Sensitivity | None:
    """Compare the output with that under noise; None where it does not differ between samples.

    Only where the change is past ``chaotic`` is a second, fainter noise needed to tell its growth.
    """
    spread, size = _spread(output)
    # what is below rounding is no output that depends on the input
    if not (math.isfinite(spread) and spread > _ROUNDING * size):
        return None
    change = _change(forward, output, NOISE, seed)
    if change is None:
        return None
    if change <= 2 * chaotic * spread or output.dtype.itemsize < 4:
        return Sensitivity(change / (2 * spread))
    faint = _change(forward, output, FAINT_NOISE, seed)
    growth = math.nan if faint is None else faint / spread / FAINT_NOISE**2
    return Sensitivity(change / (2 * spread), growth)


_ROUNDING = 1e-13


def _spread(output: Tensor) -> tuple[float, float]:
    values = reductions.moments(output, output.shape[0])
    return values.batch_variance, values.second_moment


def _change(forward: Forward, output: Tensor, size: float, seed: int) -> float | None:
    again = next(output_tensors(_without_graph(forward, Noise(size, seed))), None)
    if again is None or again.shape != output.shape:
        return None
    value = reductions.mean_square(reductions.plain(again) - reductions.plain(output))
    return value if math.isfinite(value) else None


def _without_graph(forward: Forward, mode: Noise) -> Any:
    try:
        with torch.no_grad():
            return forward(mode)
    except RuntimeError:
        # some models differentiate in their forward pass, and need the graph that this saves
        with torch.enable_grad():
            return forward(Noise(mode.size, mode.seed))


class Calm(TorchDispatchMode):
    """Runs a model with dropout and stochastic depth replaced by their means."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # the wrapper that torch puts around the method below imports its compiler, a second's work
        return False

    def watch(self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
        """Tell inputs from parameters before the pass starts."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        signal = bool(args) and isinstance(args[0], Tensor) and args[0].requires_grad
        calm = ops.without_dropout(func, args, kwargs or {}, signal=signal)
        return func(*args, **(kwargs or {})) if calm is None else calm


class Noise(Calm):
    """Adds relative noise where a value that only the inputs determine first meets a parameter.

    Behind parameter-free encodings, which amplify small differences on purpose; ids have their noise
    behind the embedding.  A value that is read twice has the same noise twice.
    """

    def __init__(self, size: float, seed: int) -> None:
        super().__init__()
        self.size, self.seed = size, seed
        self._rng = np.random.default_rng(seed)
        self._raw = WeakTensorKeyDictionary()
        self._learned = WeakTensorKeyDictionary()
        self._noisy = WeakTensorKeyDictionary()

    def watch(self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> None:
        for tensor in inputs.values():
            self._raw[tensor] = True
        for tensor in parameters.values():
            self._learned[tensor] = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = list(tensors_in((*args, *kwargs.values())))
        raw = [t for t in tensors if t in self._raw]
        learned = any(t in self._learned for t in tensors)
        meets = bool(raw) and learned
        name, in_place, _ = ops.called(func)
        if meets and in_place and args[0] in self._raw:
            args[0].add_(self._noise_for(args[0]))
        elif meets:
            args = tuple(self._noised(a) for a in args)
        out = super().__torch_dispatch__(func, types, args, kwargs)
        created = name in ops.CREATIONS
        for tensor in tensors_in((out,)):
            if meets and not any(t.is_floating_point() for t in raw) and tensor.is_floating_point():
                self._learned[tensor] = True
                tensor.add_(self._noise_for(tensor))
            elif learned:
                self._learned[tensor] = True
                self._raw.pop(tensor, None)  # written in place
            elif raw and not created:
                self._raw[tensor] = True
        return out

    def _noised(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(self._noised(item) for item in value)
        if not isinstance(value, Tensor) or value not in self._raw or not value.is_floating_point():
            return value
        if value not in self._noisy:
            self._noisy[value] = value + self._noise_for(value)
        return self._noisy[value]

    def _noise_for(self, value: Tensor) -> Tensor:
        if value.layout != torch.strided:
            stored = value.detach().coalesce()
            noise = self._noise_for(stored.values())
            return torch.sparse_coo_tensor(stored.indices(), noise, stored.shape, check_invariants=False)
        scale = self.size * reductions.plain(value).square().mean().sqrt()
        units = 1 if value.dim() >= 4 else -1
        noise = torch.from_numpy(standard_normal(self._rng, tuple(value.shape), units))
        return (noise.to(value.device) * scale).to(value.dtype)
