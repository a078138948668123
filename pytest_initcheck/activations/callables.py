"""Any callable over arrays as an activation: its kinks found, its derivative interpolated.

Where numpy arrays are refused and torch is loaded, the callable is tried on tensors instead.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from pytest_initcheck.activations.form import Activation, Array, Family
from pytest_initcheck.activations.interpolation import REACH, find_kinks, interpolated_derivative
from pytest_initcheck.errors import ConfigError

_ROUNDING = float(np.finfo(np.float64).eps)
_ROUNDINGS = 4096
"""A row of the table is agreed with to this many roundings of what the callable returns."""
_FLAT = 0.05
"""A unit counts as saturated where its slope is below this share of the largest (principles.md 1.6)."""
_SETTLED = 0.75 * REACH


def from_callable(
    phi: Callable[..., Any],
    *,
    name: str | None = None,
    kinks: Iterable[float] | None = None,
    derivative: Callable[[Array], Array] | None = None,
) -> Activation:
    """Return the activation of a callable that maps arrays elementwise.

    * ``phi`` takes a float64 array of any shape, or a float64 tensor when torch is loaded.
    * ``kinks`` are the points where phi or its slope jumps; by default they are searched for on
      [-20, 20], to about 1e-10.
    * ``derivative`` maps arrays likewise; by default torch's autograd for a torch callable, otherwise
      the derivative of the piecewise Chebyshev interpolant between the kinks (principles.md 1.9).

    Raises ConfigError for a callable that raises on arrays, changes their shape, mixes their
    elements, draws random numbers, or returns what is not finite.

    >>> softcap = from_callable(lambda z: 3 * np.tanh(z / 3), name="softcap")
    >>> softcap.family, round(float(softcap.derivative(np.array(0.0))), 9)
    ('bounded', 1.0)
    >>> [round(kink, 9) for kink in from_callable(lambda z: np.abs(z - 1)).kinks]
    [1.0]
    """
    label = name or _label(phi)
    values, slopes, rounding = _over_arrays(phi, label)
    if rounding > _ROUNDING:
        raise ConfigError(
            f"activation {label} returns less than float64, too little to find its kinks and slopes in; "
            "give a function that keeps float64 (under jax: jax.config.update('jax_enable_x64', True))"
        )
    found = find_kinks(values) if kinks is None else tuple(sorted(map(float, kinks)))
    given = derivative or slopes or interpolated_derivative(values, found)
    family, inactive_below, saturated_beyond = _shape_of(values, given, found)
    return Activation(
        label,
        values,
        given,
        family,
        kinks=found,
        inactive_below=inactive_below,
        saturated_beyond=saturated_beyond,
    )


def recognised(phi: Callable[..., Any], row: Activation | None) -> Activation | None:
    """Return ``row`` if the callable computes the same, None otherwise.

    >>> from pytest_initcheck.activations import activation
    >>> recognised(np.tanh, activation("tanh")).name
    'tanh'
    >>> recognised(np.tanh, activation("relu"))
    """
    if row is None:
        return None
    values, _, rounding = _over_arrays(phi, _label(phi))
    z = _probe()
    near = _ROUNDINGS * rounding * np.maximum(np.abs(row.phi(z)), 1.0)
    return row if bool((np.abs(values(z) - row.phi(z)) <= near).all()) else None


def _label(phi: Callable[..., Any]) -> str:
    return str(getattr(phi, "__name__", type(phi).__name__))


def _probe() -> Array:
    """Points on both sides of 0, dense and irregular enough that no kink coincides with one."""
    return np.linspace(-REACH + 0.0123, REACH, 1999)


_Adapted = tuple[Callable[[Array], Array], Callable[[Array], Array] | None, float]


def _over_arrays(phi: Callable[..., Any], label: str) -> _Adapted:
    """Return phi over float64 arrays, its derivative if torch gives one, and phi's relative rounding."""
    values: Callable[[Array], Array] = partial(_as_array, phi)
    slopes, rounding = None, _returned_rounding(phi)
    if rounding is None:
        rounding = _ROUNDING
        if "torch" in sys.modules:
            from pytest_initcheck.probes.torch_activations import over_tensors

            values, slopes, rounding = over_tensors(phi) or (values, None, rounding)
    _refuse_unless_elementwise(values, label)
    return values, slopes, rounding


def _returned_rounding(phi: Callable[..., Any]) -> float | None:
    """The rounding of what phi makes of a float64 array; None if it takes none."""
    try:
        with np.errstate(all="ignore"):
            dtype = np.asarray(phi(_probe())).dtype
    except Exception:
        return None
    return max(float(np.finfo(dtype).eps), _ROUNDING) if dtype.kind == "f" else _ROUNDING


def _as_array(phi: Callable[..., Any], z: Array) -> Array:
    return np.asarray(phi(np.asarray(z, dtype=np.float64)), dtype=np.float64)


def _refuse_unless_elementwise(phi: Callable[[Array], Array], label: str) -> None:
    z = _probe()
    half = z[::-2].reshape(-1, 1).copy()
    remedy = "give a function that works elementwise over arrays"
    try:
        with np.errstate(all="ignore"):
            value = phi(z)
            again = phi(half)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0].strip().rstrip(".")
        raise ConfigError(
            f"activation {label} raises {type(error).__name__} on an array: {reason}; {remedy}, "
            "for example by numpy.vectorize"
        ) from None
    for got, shape in ((value, z.shape), (again, half.shape)):
        if got.shape != shape:
            raise ConfigError(
                f"activation {label} turns shape {shape} into {got.shape}; {remedy}, of the same shape"
            )
    if not np.isfinite(value).all():
        bad = z[~np.isfinite(value)][0]
        raise ConfigError(
            f"activation {label} returns {value[~np.isfinite(value)][0]} at {bad:.4g}; "
            "give a function that is finite on [-20, 20]"
        )
    if not np.allclose(value[::-2], again[:, 0], rtol=1e-9, atol=1e-12):
        raise ConfigError(
            f"activation {label} gives one element two values: it draws random numbers or mixes "
            f"elements, as softmax does; {remedy}, alike at every call"
        )


_Kind = tuple[Family, float | None, float | None]


def _shape_of(
    phi: Callable[[Array], Array], derivative: Callable[[Array], Array], kinks: tuple[float, ...]
) -> _Kind:
    """Return the family, ``inactive_below`` and ``saturated_beyond`` that phi shows on [-20, 20]."""
    z = np.linspace(-REACH, REACH, 16_001)
    cell = z[1] - z[0]
    slope = np.abs(derivative(z))
    largest = slope.max()
    active = np.flatnonzero(slope > 1e-9 * largest)
    lowest = z[active[0]] if len(active) else 0.0
    inactive = next((kink for kink in kinks if abs(kink - lowest) <= 2 * cell and kink > z[0]), None)
    beyond = np.abs(z[slope >= _FLAT * largest]).max(initial=0.0)
    if beyond < _SETTLED and largest > 0 and (inactive is None or inactive < -cell):
        return "bounded", None, _last_crossing(derivative, kinks, _FLAT * largest, beyond)
    if np.allclose(slope, largest, rtol=1e-9) and not kinks and abs(phi(np.zeros(1))[0]) < 1e-12:
        return "linear", None, None
    if inactive is None and slope[len(z) // 2] < _FLAT * largest <= min(slope[0], slope[-1]):
        return "shrink", None, None
    if np.count_nonzero(np.abs(np.diff(slope)) > 1e-8 * largest) <= 2 * len(kinks):
        return "rectifier", inactive, None
    near, far = (np.abs(phi(z[part])).max() for part in (np.abs(z) <= _SETTLED, np.abs(z) > _SETTLED))
    return ("periodic" if far <= 1.01 * near else "smooth_rectifier"), inactive, None


def _last_crossing(
    derivative: Callable[[Array], Array], kinks: tuple[float, ...], level: float, start: float
) -> float:
    """The z >= 0 beyond which abs(phi') is below ``level`` on both sides."""
    for kink in kinks:
        if abs(abs(kink) - start) < 5e-3:
            return abs(kink)
    low, high = start, start + 5e-3
    for _ in range(50):
        middle = (low + high) / 2
        above = np.abs(derivative(np.array([-middle, middle]))).max() >= level
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2
