"""The arrays of a pytree: their names, how code reaches them, and how they are replaced.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from pytest_initcheck.errors import ModelError


@dataclass(frozen=True, slots=True)
class Held:
    """An array that a model holds; ``put`` replaces it there."""

    name: str
    path: str
    value: Any
    put: Callable[[Any], None]
    trainable: bool = True
    aliases: tuple[str, ...] = ()


def is_array(value: Any) -> bool:
    return isinstance(value, (jax.Array, np.ndarray))


def is_floating(value: Any) -> bool:
    return is_array(value) and bool(jnp.issubdtype(value.dtype, jnp.inexact))


def held(tree: Any, root: str) -> Iterator[Held]:
    """Yield the floating arrays of a pytree; ``root`` is what the user's code calls it.

    >>> [(h.name, h.path) for h in held({"fc": [np.zeros(2)]}, "params")]
    [('fc.0', "params['fc'][0]")]
    """
    for path, value in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if is_floating(value):
            yield Held(dotted(path), root + jax.tree_util.keystr(path), value, _putting(tree, path))


def dotted(path: Any) -> str:
    """Return a key path as one name: keys and attributes, joined by dots."""
    return ".".join(str(_part(key)) for key in path) or "param"


def _part(key: Any) -> Any:
    if isinstance(key, DictKey):
        return key.key
    if isinstance(key, SequenceKey):
        return key.idx
    if isinstance(key, GetAttrKey):
        return key.name
    return key.key if isinstance(key, FlattenedIndexKey) else key


def _putting(tree: Any, path: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        place = tree
        for key in path[:-1]:
            place = getattr(place, key.name) if isinstance(key, GetAttrKey) else place[_part(key)]
        last = path[-1] if path else None
        if isinstance(last, GetAttrKey):
            # modules of equinox are frozen dataclasses; a copy of one is changed here
            object.__setattr__(place, last.name, value)
        elif isinstance(place, (dict, list)) and isinstance(last, (DictKey, SequenceKey)):
            place[_part(last)] = value
        else:
            raise ModelError(
                f"{dotted(path)} is held by a {type(place).__name__}, which cannot be changed in place"
            )

    return put
