"""Edits of a model of JAX: spelled as code, and made. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.input_edits import of_arrays, spell_inputs
from pytest_initcheck.probes.jax_trees import Held
from pytest_initcheck.probes.looping import looped
from pytest_initcheck.trace import Parameter

_VALUES = {
    "draw": "rng.normal(0, {v}, {p}.shape)",
    "fill": "jnp.full_like({p}, {v})",
    "scale": "{v} * {p}",
    "orthogonal": "jax.nn.initializers.orthogonal({v})(jax.random.key(rng.integers(2**31)), {p}.shape)",
}


def spell(edits: Sequence[Edit], parameters: Mapping[str, Parameter]) -> str:
    """Return the code that makes these edits; ``rng`` is a NumPy generator in it."""
    return "\n".join(line for edit in edits for line in _spelled(edit, parameters))


def _spelled(edit: Edit, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    if edit.of_inputs:
        yield spell_inputs(edit, 2)
        return
    value = _VALUES.get(edit.kind)
    if value is None:
        return
    if edit.kind == "draw":
        value = f"jnp.asarray({value}, {{p}}.dtype)"
    paths = [parameters[name].path or name for name in edit.names]
    yield looped("{p} = " + value, paths, [f"{number:.3g}" for number in edit.values])


def apply(held: Sequence[Held], edits: Sequence[Edit]) -> None:
    """Make these edits of the arrays that a model holds; draws come from NumPy's global generator.

    Raises ModelError for what the model does not have, or holds where nothing can be replaced.
    """
    by_name = {each.name: each for each in held}
    for kind, name, value in of_arrays(edits):
        if name not in by_name:
            raise ModelError(f"the model has no parameter {name!r}")
        array = by_name[name]
        array.put(_changed(array.value, kind, value))


def _changed(array: Any, kind: str, value: float) -> Any:
    if kind == "draw":
        new = np.random.normal(0, value, array.shape)
    elif kind == "fill":
        new = np.full(array.shape, value)
    elif kind == "scale":
        return jnp.asarray(array) * jnp.asarray(value, array.dtype)
    else:
        key = jax.random.key(int(np.random.randint(2**31)))
        return jax.nn.initializers.orthogonal(value)(key, array.shape).astype(array.dtype)
    return jnp.asarray(new, array.dtype)
