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


def all_in_place(tree: Any) -> bool:
    """Tell whether every floating array is an entry of a dict or a list, under keys that code can name.

    >>> all_in_place([{"w": np.zeros(2)}]), all_in_place([(np.zeros(2), np.zeros(2))])
    (True, False)
    """
    if isinstance(tree, dict) and all(type(key) in (str, int) for key in tree):
        return all(is_array(part) or all_in_place(part) for part in tree.values())
    if isinstance(tree, list):
        return all(is_array(part) or all_in_place(part) for part in tree)
    return not any(map(is_floating, jax.tree.leaves(tree)))


def _putting(tree: Any, path: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        if _replaced(tree, path, value) is not tree:
            raise ModelError(
                f"{dotted(path)} is held by a {type(tree).__name__}, which cannot be changed in place"
            )

    return put


def _replaced(node: Any, path: Any, value: Any) -> Any:
    """Return the node with the array at this path replaced: a new node where it cannot be changed."""
    if not path:
        return value
    key = path[0]
    parts, structure = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda part: part is not node)
    new = [_replaced(part, path[1:], value) if at == (key,) else part for at, part in parts]
    changed = next((part for part, (_, old) in zip(new, parts, strict=True) if part is not old), None)
    if changed is None:
        return node
    if isinstance(node, (dict, list)):
        node[_part(key)] = changed
    elif isinstance(key, GetAttrKey) and not isinstance(node, tuple):
        # modules of equinox are frozen dataclasses; a copy of one is changed here
        object.__setattr__(node, key.name, changed)
    else:
        return structure.unflatten(new)
    return node
