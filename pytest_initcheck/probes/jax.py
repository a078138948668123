"""The JAX probe: flax nnx and linen, equinox, haiku, and plain functions with a pytree of parameters.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal, Tokens
from pytest_initcheck.probes import global_generators
from pytest_initcheck.probes.fingerprints import fingerprint
from pytest_initcheck.probes.graph import tracing
from pytest_initcheck.probes.graph.flow import Leaf
from pytest_initcheck.probes.jax_flow import JaxFlow, on_host
from pytest_initcheck.probes.jax_models import Functional, functional, initialised, library_of
from pytest_initcheck.probes.jax_program import recorded
from pytest_initcheck.probes.jax_spelling import apply as make_edits
from pytest_initcheck.probes.jax_spelling import spell as spell
from pytest_initcheck.probes.jax_steps import Given
from pytest_initcheck.probes.jax_trees import is_array
from pytest_initcheck.probes.losses import loss_value
from pytest_initcheck.probes.tracebacks import first_line, place_of, remedy_for, user_traceback
from pytest_initcheck.trace import NOTHING_MORE, Fingerprint, Glimpse, Trace, Wanted

FRAMEWORK = "jax"


def owns(model: Any) -> bool:
    return library_of(model) is not None


def preserved() -> AbstractContextManager[None]:
    return nullcontext()  # JAX has no global random state


def seed(seed: int) -> None:
    """Nothing to seed: every draw is from a key."""


def generator(seed: int) -> jax.Array:
    """Return a key in the form that every library takes."""
    return jnp.asarray([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], jnp.uint32)


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return nullcontext()


def drawn(model: Any, call: Callable[[], Call], *, seed: int, keep: bool) -> Any:
    given: list[Call] = []

    def once() -> Call:
        given.append(_arrays(call()))
        return given[0]

    try:
        return initialised(model, once, generator(seed))
    except Exception as error:
        raise _unfit(error, given[0] if given else Call((), {})) from error


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    parameters = functional(model, "train").parameters
    return tuple(fingerprint(each.name, on_host(each.value)) for each in parameters)


def infer_inputs(model: Any) -> Distribution | Call:
    example = getattr(model, "example_inputs", None)
    if callable(example):
        value = example()
        return Call(tuple(value), {}) if isinstance(value, (tuple, list)) else Call((value,), {})
    for layer in _layers(model):
        kind = type(layer).__name__
        if kind == "Linear" and isinstance(getattr(layer, "in_features", None), int):
            return Normal((layer.in_features,))
        if kind in ("Embed", "Embedding"):
            return Tokens((16,), int(layer.num_embeddings))
        if "Conv" in kind:
            break
    raise ModelError(
        "the inputs cannot be inferred from the first layer; pass inputs=ic.normal(...), "
        "give the model an example_inputs() method, or use --initcheck-inputs normal:784"
    )


def _layers(model: Any) -> list[Any]:
    library = library_of(model)
    if library == "nnx":
        return [module for _, module in sys.modules["flax.nnx"].iter_modules(model)][::-1]
    if library == "equinox":
        layer = sys.modules["equinox"].Module
        found: list[Any] = []

        def seen(value: Any) -> bool:
            if isinstance(value, layer):
                found.append(value)
            return False

        jax.tree.leaves(model, is_leaf=seen)
        return found
    return []


def apply(model: Any, edits: Sequence[Edit], call: Call | None = None) -> None:
    make_edits(functional(model, "train").parameters, edits)


# -- one pass ------------------------------------------------------------------------------------


def trace(model: Any, call: Call, *, mode: str, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    return trace_of(functional(model, mode), call, seed, wanted)


def trace_of(seen: Functional, call: Call, seed: int, wanted: Wanted) -> Trace:
    """Return the trace of a model that is a function of its arrays already."""
    flow, batch = _flow(seen, call, seed)
    try:
        return tracing.trace(flow, framework=FRAMEWORK, batch=batch, seed=seed, wanted=wanted)
    except (TypeError, ValueError) as error:
        raise _unfit(error, call) from error


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    return glimpse_of(functional(model, mode), call, seed)


def glimpse_of(seen: Functional, call: Call, seed: int) -> Glimpse:
    """Look for rare events in a model that is a function of its arrays already."""
    flow, batch = _flow(seen, call, seed, derived=False)
    return tracing.glimpse(flow, batch=batch)


def _flow(seen: Functional, call: Call, seed: int, *, derived: bool = True) -> tuple[JaxFlow, int]:
    """Return the recorded forward pass, and how many samples it has."""
    given = _arrays(call)
    leaves, structure = jax.tree.flatten((given.args, dict(given.kwargs)))
    at = [index for index, leaf in enumerate(leaves) if is_array(leaf)]
    inputs = [leaves[index] for index in at]
    returned: list[Any] = []

    def forward(parameters: list[Any], states: list[Any], arrays: list[Any]) -> list[Any]:
        whole = list(leaves)
        for index, array in zip(at, arrays, strict=True):
            whole[index] = array
        args, kwargs = jax.tree.unflatten(structure, whole)
        output = seen.apply(parameters, states, Call(args, kwargs))
        flat, tree = jax.tree.flatten(output)
        returned[:] = [tree]
        return [_as_array(value) for value in flat]

    values = [jnp.asarray(each.value) for each in seen.parameters]
    states = [value for _, value in seen.states]
    try:
        with global_generators.kept():
            global_generators.seed(seed)
            closed = jax.make_jaxpr(forward)(values, states, inputs)
        named = _given(seen, values, _input_names(given, at), inputs)
        program = recorded(closed, named, seen.place, derived=derived)
    except ModelError:
        raise
    except Exception as error:
        raise _unfit(error, given) from error
    flow = JaxFlow(
        program,
        (*values, *states, *inputs),
        tuple(
            Leaf(each.name, on_host(value), each.trainable, each.path, each.aliases)
            for each, value in zip(seen.parameters, values, strict=True)
        ),
        lambda flat: jax.tree.unflatten(returned[0], list(flat)),
        functools.partial(_loss, given),
    )
    return flow, _batch(inputs)


def _as_array(value: Any) -> Any:
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, int, float, complex)):
        raise ModelError(
            f"the model returned a {type(value).__qualname__}, which holds no arrays that JAX sees; "
            "return arrays, or register the type with jax.tree_util.register_dataclass"
        )
    return jnp.asarray(value)


def _given(
    seen: Functional, values: Sequence[Any], names: Sequence[str], inputs: Sequence[Any]
) -> list[Given]:
    pairs = zip(seen.parameters, values, strict=True)
    return [
        *(Given("parameter", each.name, value) for each, value in pairs),
        *(Given("state", name, value) for name, value in seen.states),
        *(Given("input", name, value) for name, value in zip(names, inputs, strict=True)),
    ]


def _arrays(call: Call) -> Call:
    """Return the call with its arrays as JAX takes them; what is no array stays as it is."""

    def converted(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return jnp.asarray(value) if value.dtype.kind in "fiubc" else value

    args, kwargs = jax.tree.map(converted, (tuple(call.args), dict(call.kwargs)))
    return Call(args, kwargs)


def _input_names(call: Call, at: Sequence[int]) -> list[str]:
    several = len(call.args) + len(call.kwargs) > 1
    named: dict[str, Any] = {f"input{i}" if several else "input": a for i, a in enumerate(call.args)}
    names: list[str] = []
    for name, value in (*named.items(), *sorted(call.kwargs.items())):
        for path, _ in jax.tree_util.tree_flatten_with_path(value)[0]:
            text = jax.tree_util.keystr(path, simple=True, separator=".")
            names.append(f"{name}.{text}" if text else name)
    return [names[index] for index in at]


def _batch(inputs: Sequence[Any]) -> int:
    """Return the number of samples: floats tell it before indices, which may be edges of a graph."""
    arrays = sorted(
        (x for x in inputs if x.ndim > 0), key=lambda x: not jnp.issubdtype(x.dtype, jnp.inexact)
    )
    return int(arrays[0].shape[0]) if arrays else 1


def _loss(call: Call, loss: Callable[..., Any], output: Any) -> Any:
    value = loss_value(loss, output, call)
    if not isinstance(value, jax.Array) or value.size != 1:
        shown = f"shape {value.shape}" if isinstance(value, jax.Array) else type(value).__name__
        raise ModelError(f"loss= must return an array with one number, got {shown}")
    return value.reshape(())


# -- what can go wrong ----------------------------------------------------------------------------


def _unfit(error: Exception, call: Call) -> ModelError:
    """Return what to say of a model that raised while it was traced."""
    if isinstance(error, ModelError):
        return error
    first = first_line(error)
    if isinstance(error, jax.errors.ConcretizationTypeError):
        return ModelError(
            f"the model asks for the value of an array at {place_of(error)}, which JAX does not know "
            "while it traces; choose with jnp.where or jax.lax.cond, or take the number from outside",
            traceback_text=user_traceback(error),
        )
    leaves = [leaf for leaf in jax.tree.leaves((call.args, dict(call.kwargs))) if is_array(leaf)]
    shapes = ", ".join(f"{leaf.shape} {leaf.dtype}" for leaf in leaves)
    said = f"{type(error).__name__} on {shapes or 'these inputs'}: {first.rstrip('.')}"
    return ModelError(
        f"the model raised {said}; {_remedy(error, leaves)}", traceback_text=user_traceback(error)
    )


_REMEDIES = {
    "TracerArrayConversionError": "NumPy cannot compute on what JAX traces; use jax.numpy in the model",
    "NonConcreteBooleanIndexError": "a shape cannot depend on values; use jnp.where in place of a mask",
    "MissingRNGError": "the model draws; leave out hk.without_apply_rng",
    "argument: 'state'": "return the pair of module and state, equinox.nn.make_with_state(Module)(...)",
    "required positional argument": "give it a default, or pass inputs= with a value for it",
    "required keyword-only argument": "give it a default, or pass inputs= with a value for it",
    "do not support JVP": "give what runs outside of JAX a derivative with jax.custom_jvp",
}
"""What to do about an error, by what is in its type or its text; the first that fits."""


def _remedy(error: Exception, arrays: Sequence[Any]) -> str:
    text = f"{type(error).__name__}: {error}"
    found = next((remedy for part, remedy in _REMEDIES.items() if part in text), None)
    if found is not None:
        return found
    remedy = remedy_for(error)
    if any(array.ndim == 4 for array in arrays) and isinstance(error, (TypeError, ValueError)):
        remedy += "; images are channel-last in most of JAX: ic.normal(32, 32, 3)"
    return remedy
