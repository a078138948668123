"""Edits of a numpy model: spelled as code, and made. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.input_edits import of_arrays
from pytest_initcheck.probes.looping import looped
from pytest_initcheck.trace import Parameter

Array = NDArray[Any]


def spell(edits: Sequence[Edit], parameters: Mapping[str, Parameter]) -> str:
    """Return the code that makes these edits of ``layers``; ``rng`` is a NumPy generator."""
    return "\n".join(line for edit in edits for line in _spelled(edit, parameters))


def _spelled(edit: Edit, parameters: Mapping[str, Parameter]) -> Iterable[str]:
    call = {
        "draw": "{p}[...] = rng.normal(0, {v}, {p}.shape)",
        "fill": "{p}[...] = {v}",
        "scale": "{p}[...] *= {v}",
        "orthogonal": "{p}[...] = {v} * np.linalg.qr(rng.normal(size=(max({p}.shape),) * 2))[0]"
        "[:{p}.shape[0], :{p}.shape[1]]",
    }.get(edit.kind)
    if call is None:
        return
    paths = [parameters[name].path or name for name in edit.names]
    yield looped(call, paths, [f"{value:.3g}" for value in edit.values])


def apply(arrays: Mapping[str, Array], edits: Iterable[Edit], rng: Any) -> None:
    """Make these edits of named arrays, in place.

    Raises ModelError for what the model does not have, or keeps from being written to.
    """
    for kind, name, value in of_arrays(edits):
        if name not in arrays:
            raise ModelError(f"the model has no array {name!r}")
        if not arrays[name].flags.writeable:
            raise ModelError(f"{name} is read-only")
        _change(arrays[name], kind, value, rng)


def _change(array: Array, kind: str, value: float, rng: Any) -> None:
    if kind == "draw":
        array[...] = rng.normal(0, value, array.shape)
    elif kind == "fill":
        array[...] = value
    elif kind == "scale":
        array *= value
    else:
        square = np.linalg.qr(rng.normal(size=(max(array.shape),) * 2))[0]
        array[...] = value * square[: array.shape[0], : array.shape[1]]
