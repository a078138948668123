"""What an equation of a jaxpr computes, as text: equal texts are compiled once. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn


def bind(eqn: JaxprEqn, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return the results of an equation for these operands."""
    settings = eqn.primitive.get_bind_params(eqn.params)
    # what a rule needs comes apart from the settings since jax 0.9, and of some primitives only
    functions, settings = settings if isinstance(settings, tuple) else ((), settings)
    found = eqn.primitive.bind(*functions, *operands, **settings)
    return tuple(found) if eqn.primitive.multiple_results else (found,)


def text_of(eqn: JaxprEqn, *, derived: bool) -> str:
    """Return a text that is equal for equations that compute the same.

    * ``derived``: and that have the same derivative.

    A function among the settings shows its address: such an equation is like itself alone.
    """
    name, params = str(eqn.primitive.name), eqn.params
    if name.startswith("custom_"):
        inside = (value for value in params.values() if isinstance(value, ClosedJaxpr))
        return name + (_with_derivative(eqn) if derived else "".join(map(_text, inside)))
    return name + "".join(f" {key}={_text(params[key])}" for key in sorted(params))


def _text(value: Any) -> str:
    if isinstance(value, ClosedJaxpr):
        held = hashlib.blake2b(digest_size=16)
        for const in value.consts:
            held.update(np.asarray(const).tobytes())
        return f"{value.jaxpr} {held.hexdigest()}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_text, value))})"
    return repr(value)


def _with_derivative(eqn: JaxprEqn) -> str:
    """Return the text of a function that brings its derivative along, together with that.

    The functions in the equation are made anew each time, and say nothing of what they do.
    """
    given = [jax.ShapeDtypeStruct(each.aval.shape, each.aval.dtype) for each in eqn.invars]
    at = [i for i, each in enumerate(given) if jnp.issubdtype(each.dtype, jnp.inexact)]

    def both(*operands: Any) -> Any:
        def floating(*varied: Any) -> list[Any]:
            whole = list(operands)
            for position, value in zip(at, varied, strict=True):
                whole[position] = value
            return [each for each in bind(eqn, whole) if jnp.issubdtype(each.dtype, jnp.inexact)]

        found, pull = jax.vjp(floating, *(operands[i] for i in at))
        return found, pull(found)

    try:
        return _text(jax.make_jaxpr(both)(*given))
    except Exception:  # a rule that cannot be traced by itself is like itself alone
        return f"{eqn.params} {id(eqn)}"
