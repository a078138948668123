"""Edits of a model of JAX: spelled as code, and made. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.input_edits import of_arrays
from pytest_initcheck.probes.jax_trees import Held
from pytest_initcheck.probes.looping import looped
from pytest_initcheck.trace import Parameter

_NEW = {
    "draw": "jnp.asarray(rng.normal(0, {v}, {w}.shape), {w}.dtype)",
    "fill": "jnp.full_like({w}, {v})",
    "scale": "{v} * {w}",
    "orthogonal": (
        "jax.nn.initializers.orthogonal({v})"
        "(jax.random.key(rng.integers(2**31)), {w}.shape).astype({w}.dtype)"
    ),
}
"""The new value of an array ``{w}`` for each kind of edit."""

_LEAVES = re.compile(r"jax\.tree\.leaves\((.+)\)")


def spell(edits: Sequence[Edit], parameters: Mapping[str, Parameter]) -> str:
    """Return the code that makes these edits; ``rng`` is a NumPy generator in it."""
    return "\n".join(line for edit in edits for line in _spelled(edit, parameters))


def _spelled(edit: Edit, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    new = _NEW.get(edit.kind)
    if new is None:
        return
    paths = [parameters[name].path for name in edit.names]
    values = [f"{number:.3g}" for number in edit.values]
    # a path tells whose it is: variables of nnx end in [...], other attributes are of frozen modules
    if paths[0].endswith("[...]"):
        yield looped(_assigned("{p}[...]", new), [path.removesuffix("[...]") for path in paths], values)
    elif paths[0].startswith("model"):
        where = [f"lambda m: m{path.removeprefix('model')}" for path in paths]
        change = new.replace("{w}", "w")
        yield looped(f"model = eqx.tree_at({{p}}, model, replace_fn=lambda w: {change})", where, values)
    else:
        yield from _of_entries(paths, values, new)


def _of_entries(paths: Sequence[str], values: Sequence[str], new: str) -> Iterator[str]:
    """Spell the edit of entries of dicts and lists, or of the leaves of a tree that has others."""
    holders, keys = zip(*map(_parted, paths), strict=True)
    tree = _LEAVES.fullmatch(holders[0])
    if tree is not None:
        yield f"leaves, structure = jax.tree.flatten({tree[1]})"
        yield looped(_assigned("leaves[{p}]", new), keys, values)
        yield f"{tree[1]} = jax.tree.unflatten(structure, leaves)"
    elif len(set(holders)) == 1:
        yield looped(_assigned(f"{_literal(holders[0])}[{{p}}]", new), keys, values)
    else:
        for key in dict.fromkeys(keys):
            at = [index for index, each in enumerate(keys) if each == key]
            call = _assigned(f"{{p}}[{_literal(key)}]", new)
            yield looped(call, [holders[index] for index in at], [values[index] for index in at])


def _parted(path: str) -> tuple[str, str]:
    """Return the expression for the container of an entry, and for its key."""
    entry = ast.parse(path, mode="eval").body
    assert isinstance(entry, ast.Subscript)
    return ast.unparse(entry.value), ast.unparse(entry.slice)


def _assigned(target: str, new: str) -> str:
    return f"{target} = {new.replace('{w}', target)}"


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def apply(held: Sequence[Held], edits: Sequence[Edit]) -> None:
    """Make these edits of the arrays that a model holds; draws come from NumPy's global generator.

    Raises ModelError for what the model does not have, or holds where nothing can be replaced.
    """
    by_name = {each.name: each for each in held}
    values = {each.name: each.value for each in held}
    for kind, name, value in of_arrays(edits):
        if name not in by_name:
            raise ModelError(f"the model has no parameter {name!r}")
        values[name] = _changed(values[name], kind, value)
        by_name[name].put(values[name])


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
