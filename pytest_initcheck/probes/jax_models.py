"""What the ecosystem of JAX passes around as a model, each as a function of its arrays.

A library is looked for in ``sys.modules``: a model of it exists only where it was imported.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.jax_trees import Held, all_in_place, dotted, held, is_array, is_floating

_NEEDS = ("train", "training", "is_training")
_REFUSES = ("deterministic", "use_running_average", "inference")
"""Flags that say that a model is trained, and that it is not."""


@dataclass(frozen=True)
class Functional:
    """A model as a function of its arrays.

    * ``states`` are arrays that are no parameters, by name: statistics, keys.
    * ``apply`` takes the parameters' and the states' values, in their order, and the call.
    * ``place`` tells what in the model runs in a name scope, where the library opens scopes.
    """

    parameters: tuple[Held, ...]
    states: tuple[tuple[str, Any], ...]
    apply: Callable[[Sequence[Any], Sequence[Any], Call], Any]
    place: Callable[[str], str] = lambda scope: ""


def library_of(model: Any) -> str | None:
    """Return the library, or ``"plain"``, whose form of a model this is; None for none."""
    for library, module, name in (
        ("nnx", "flax.nnx", "Module"),
        ("linen", "flax.linen", "Module"),
        ("haiku", "haiku", "Transformed"),
        ("haiku", "haiku", "TransformedWithState"),
        ("equinox", "equinox", "Module"),
    ):
        if _is(model, module, name):
            return library
    if isinstance(model, tuple) and len(model) in (2, 3):
        first = library_of(model[0])
        if first in ("linen", "haiku"):
            return first
        if first == "equinox" and len(model) == 2:
            return first if _is(model[1], "equinox.nn", "State") else None
        bound_to = getattr(model[0], "__self__", None)
        if _is(bound_to, "flax.linen", "Module"):
            return "linen"
        if callable(model[0]) and len(model) == 2 and any(map(is_array, jax.tree.leaves(model[1]))):
            return "plain"
    return "function" if _closes_over_arrays(model) else None


def _is(model: Any, module: str, name: str) -> bool:
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and isinstance(model, known)


def _closes_over_arrays(model: Any) -> bool:
    """Tell a function that reads arrays from around it, from its module, or from the object it is of."""
    function = inspect.unwrap(model) if callable(model) else None
    found: list[Any] = []
    if inspect.ismethod(function):
        found += getattr(function.__self__, "__dict__", {}).values()
        function = function.__func__
    if not inspect.isfunction(function):
        return False
    read = inspect.getclosurevars(function)
    found += (*read.nonlocals.values(), *read.globals.values())
    return any(map(_holds_arrays, found))


def _holds_arrays(value: Any) -> bool:
    try:
        return any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))
    except (TypeError, ValueError):  # a dictionary whose keys have no order
        return False


def functional(model: Any, mode: str) -> Functional:
    """Return a model as a function of its arrays.

    Raises ModelError for one whose arrays have no names, or that was not initialised.
    """
    library = library_of(model)
    if library == "function" or library is None:
        raise ModelError(
            "the function closes over its parameters: they have no names and no gradients; "
            "return the pair (apply, params) with apply(params, x)"
        )
    if library == "equinox":
        return _equinox(model, mode)
    return {"nnx": _nnx, "linen": _linen, "haiku": _haiku, "plain": _plain}[library](model, mode)


def initialised(model: Any, call: Callable[[], Call], key: Any) -> Any:
    """Return a module or a transformed function with parameters, drawn on these inputs if it has none.

    Raises ModelError where they do not fit.
    """
    library = library_of(model)
    if isinstance(model, tuple) and library != "haiku":
        return model
    if library == "linen" and model.scope is None:
        keys = jax.random.split(key)
        given = call()
        kwargs = _with_mode(type(model).__call__, given, "train")
        variables = model.init({"params": keys[0], "dropout": keys[1]}, *given.args, **kwargs)
        return model, variables
    if library == "haiku" and hasattr(model, "init"):
        given = call()
        found = model.init(key, *given.args, **given.kwargs)
        return (model, *found) if _is(model, "haiku", "TransformedWithState") else (model, found)
    return model


def _plain(model: Any, mode: str) -> Functional:
    function, tree = model
    return _of_tree(tree, "params", lambda params, call: function(params, *call.args, **call.kwargs))


def _of_tree(tree: Any, root: str, apply: Callable[[Any, Call], Any]) -> Functional:
    leaves, structure = jax.tree.flatten(tree)
    parameters = tuple(held(tree, root))
    at = [index for index, leaf in enumerate(leaves) if is_floating(leaf)]
    if not all_in_place(tree):
        parameters = tuple(
            replace(each, path=f"jax.tree.leaves({root})[{index}]")
            for each, index in zip(parameters, at, strict=True)
        )

    def called(values: Sequence[Any], states: Sequence[Any], call: Call) -> Any:
        given = list(leaves)
        for index, value in zip(at, values, strict=True):
            given[index] = value
        return apply(jax.tree.unflatten(structure, given), call)

    return Functional(parameters, (), called)


def _nnx(model: Any, mode: str) -> Functional:
    nnx = sys.modules["flax.nnx"]
    copy = nnx.clone(model)
    copy.train() if mode == "train" else copy.eval()
    for _, module in nnx.iter_modules(copy):
        if isinstance(module, nnx.Dropout):
            module.deterministic = True
    graph, params, rest = nnx.split(copy, nnx.Param, ...)
    flat, others = nnx.to_flat_state(params), nnx.to_flat_state(rest)
    floating = [(path, v) for path, v in flat if is_floating(v[...])]
    kept = [(path, v) for path, v in flat if not is_floating(v[...])]

    def called(values: Sequence[Any], states: Sequence[Any], call: Call) -> Any:
        pairs = [(path, v.replace(new)) for (path, v), new in zip(floating, values, strict=True)]
        pairs += [(path, v.replace(new)) for (path, v), new in zip(others, states, strict=True)]
        whole = nnx.from_flat_state([*pairs, *kept])
        return nnx.merge(graph, whole)(*call.args, **call.kwargs)

    return Functional(
        tuple(_of_variable(model, path, variable) for path, variable in floating),
        tuple((".".join(map(str, path)), v[...]) for path, v in others),
        called,
    )


def _of_variable(model: Any, path: tuple[Any, ...], variable: Any) -> Held:
    text, place = "model", model
    for key in path:
        attribute = isinstance(key, str) and not isinstance(place, Mapping)
        text += f".{key}" if attribute else f"[{key!r}]"
        place = getattr(place, key) if attribute else place[key]

    def put(value: Any) -> None:
        place[...] = value

    return Held(".".join(map(str, path)), f"{text}[...]", variable[...], put)


def _linen(model: Any, mode: str) -> Functional:
    if not isinstance(model, tuple):
        if model.scope is None:
            raise ModelError(
                "the flax.linen module has no parameters yet; return (module, module.init(key, x))"
            )
        model = model.unbind()
    module, variables = model[0], dict(model[1])
    module = getattr(module, "__self__", module)
    root = "variables['params']"
    if "params" not in variables:
        root, variables = "params", {"params": model[1]}
    others = {name: tree for name, tree in variables.items() if name != "params"}
    paths, structure = jax.tree_util.tree_flatten_with_path(others)
    function = type(module).__call__

    def apply(params: Any, states: Any, call: Call) -> Any:
        kwargs = _with_mode(function, call, mode)
        rngs = {"dropout": jax.random.key(0), "params": jax.random.key(1)}
        changing = list(states)
        found = module.apply(
            {"params": params, **states}, *call.args, **kwargs, rngs=rngs, mutable=changing or False
        )
        return found[0] if changing else found

    whole = _of_tree(variables["params"], root, lambda params, call: params)

    def called(values: Sequence[Any], states: Sequence[Any], call: Call) -> Any:
        params = whole.apply(values, (), call)
        return apply(params, jax.tree.unflatten(structure, list(states)), call)

    return Functional(whole.parameters, tuple((dotted(path), value) for path, value in paths), called)


def _with_mode(function: Callable[..., Any], call: Call, mode: str) -> Mapping[str, Any]:
    """Tell a module that has a flag for it in which mode it runs, unless the call says so itself."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return call.kwargs
    told = {name: mode == "train" for name in _NEEDS if name in names}
    told |= {name: mode != "train" for name in _REFUSES if name in names}
    taken = names[1 : 1 + len(call.args)]
    return {**{name: flag for name, flag in told.items() if name not in taken}, **call.kwargs}


def _haiku(model: Any, mode: str) -> Functional:
    if not isinstance(model, tuple) or hasattr(model, "init"):
        raise ModelError(
            "the haiku function has no parameters yet; return (transformed, transformed.init(key, x))"
        )
    transformed, params = model[:2]
    drawing = "rng" in inspect.signature(transformed.apply).parameters
    key = (jax.random.PRNGKey(0),) if drawing else ()
    if not _is(transformed, "haiku", "TransformedWithState"):
        return _of_tree(
            params,
            "params",
            lambda tree, call: transformed.apply(tree, *key, *call.args, **call.kwargs),
        )
    paths, structure = jax.tree_util.tree_flatten_with_path(model[2] if len(model) > 2 else {})
    whole = _of_tree(params, "params", lambda tree, call: tree)

    def called(values: Sequence[Any], states: Sequence[Any], call: Call) -> Any:
        tree = whole.apply(values, (), call)
        state = jax.tree.unflatten(structure, list(states))
        return transformed.apply(tree, state, *key, *call.args, **call.kwargs)[0]

    return Functional(whole.parameters, tuple((dotted(p), v) for p, v in paths), called)


def _equinox(model: Any, mode: str) -> Functional:
    equinox = sys.modules["equinox"]
    module, state = model if isinstance(model, tuple) else (model, None)
    parameters = tuple(held(module, "model"))
    if mode == "train":
        dropout = equinox.nn.Dropout
        quiet = jax.tree.map(
            lambda leaf: _inactive(leaf) if isinstance(leaf, dropout) else leaf,
            module,
            is_leaf=lambda leaf: isinstance(leaf, dropout),
        )
    else:
        quiet = equinox.nn.inference_mode(module)
    arrays, rest = equinox.partition(quiet, is_floating)
    leaves, structure = jax.tree.flatten(arrays)
    states, of_states = jax.tree.flatten(state)

    def called(values: Sequence[Any], of: Sequence[Any], call: Call) -> Any:
        whole = equinox.combine(jax.tree.unflatten(structure, list(values)), rest)
        if state is not None:
            now = jax.tree.unflatten(of_states, list(of))
            mapped = jax.vmap(
                lambda *args: whole(*args, now, **call.kwargs), axis_name="batch", out_axes=(0, None)
            )
            return mapped(*call.args)[0]
        try:
            return jax.vmap(lambda *args: whole(*args, **call.kwargs))(*call.args)
        except (TypeError, ValueError, IndexError) as error:
            # by convention a module takes one sample; one that takes the batch says so by its shapes
            try:
                return whole(*call.args, **call.kwargs)
            except Exception:
                raise error from None

    assert len(leaves) == len(parameters)
    return Functional(parameters, tuple((f"state.{i}", v) for i, v in enumerate(states)), called)


def _inactive(dropout: Any) -> Any:
    copy = object.__new__(type(dropout))
    for name, value in vars(dropout).items():
        object.__setattr__(copy, name, True if name == "inference" else value)
    return copy
