"""What a check must leave as it found it in Keras, and layers that draw while they run.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from pytest_initcheck.errors import ModelError
from pytest_initcheck.probes.keras_layers import Layers, Part
from pytest_initcheck.trace import owner_and_leaf

_CELL_RATES = ("dropout", "recurrent_dropout")
_SEEDS = 2**31
"""A seed of Keras is a whole number below this on every backend."""


# -- the global generator -------------------------------------------------------------------------


class _NoGenerator(Exception):
    """Raised where Keras would make its global generator."""


def _global_generator() -> Any | None:
    """Return the generator that draws where no seed is given; None if there is none yet.

    Keras shows it to nobody, so it is met at work.
    """
    met: list[Any] = []
    kind = keras.random.SeedGenerator
    first, following = kind.__init__, kind.next

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        raise _NoGenerator

    def drew(self: Any, ordered: bool = True) -> Any:
        met.append(self)
        return self.state.value

    try:
        kind.__init__, kind.next = made, drew
        keras.random.uniform((1,))
    except _NoGenerator:
        return None
    finally:
        kind.__init__, kind.next = first, following
    return met[0] if met else None


def seed(value: int) -> None:
    """Seed the global generator of Keras and TensorFlow's own, as ``keras.utils.set_random_seed`` does.

    Those of Python, NumPy and torch have probes of their own.
    """
    if _on_tensorflow():
        from pytest_initcheck.probes import tensorflow_seeds

        tensorflow_seeds.seed(value % _SEEDS)
    generator = _global_generator()
    if generator is None:
        kept = random.getstate()
        keras.random.uniform((1,))
        random.setstate(kept)
        generator = _global_generator()
    if generator is not None:
        generator.state.assign(np.array([value % _SEEDS, 0]))


def _on_tensorflow() -> bool:
    return bool(keras.backend.backend() == "tensorflow")


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global generators of Keras and of TensorFlow back."""
    with ExitStack() as stack:
        if _on_tensorflow():
            from pytest_initcheck.probes import tensorflow_seeds

            stack.enter_context(tensorflow_seeds.seeds_kept())
        stack.enter_context(_own_generator_kept())
        yield


@contextmanager
def _own_generator_kept() -> Iterator[None]:
    """Put the global generator of Keras back.

    Where there was none, what is left is in the state in which Keras would have made it.
    """
    generator = _global_generator()
    before = None if generator is None else keras.ops.convert_to_numpy(generator.state.value).copy()
    kept = random.getstate()
    try:
        yield
    finally:
        left = _global_generator()
        if left is not None:
            if before is None:
                within = random.getstate()
                random.setstate(kept)
                before = np.array([random.randint(1, int(1e9)), 0])
                random.setstate(within)
            left.state.assign(before)


# -- the model ------------------------------------------------------------------------------------


def copied(model: Any) -> Any:
    """Return a copy of a model that is not built; the model stays as it is."""
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"the Keras model {model.name} is not built and cannot be copied ({type(error).__name__}); "
            "call it on inputs first, or pass the factory"
        ) from error


# -- recurrent layers -----------------------------------------------------------------------------


@contextmanager
def unrolled(layers: Layers) -> Iterator[None]:
    """Have recurrent layers run their cells step by step, as they are written.

    Else each backend has another way: TensorFlow a loop, whose inside is not in the graph, torch one
    product for the inputs of all steps.
    """
    settings = {"unroll": True, "use_cudnn": False}
    with ExitStack() as stack:
        for part in layers.parts:
            for name, value in settings.items() if hasattr(part.layer, "unroll") else ():
                if hasattr(part.layer, name):
                    stack.callback(setattr, part.layer, name, getattr(part.layer, name))
                    setattr(part.layer, name, value)
        yield


# -- layers that draw -----------------------------------------------------------------------------


@contextmanager
def calm(layers: Layers) -> Iterator[None]:
    """Have dropout, noise and random augmentation do nothing, as they do where nothing is trained."""
    with ExitStack() as stack:
        for index, part in enumerate(layers.parts):
            if _draws(layers, index):
                _without_training(part, stack)
        yield


def _draws(layers: Layers, index: int) -> bool:
    """Tell whether a layer has a seed of its own."""
    leaves = [owner_and_leaf(each.name)[1] for each in layers.states if each.part == index]
    return any(leaf.startswith("seed_generator") for leaf in leaves)


def _without_training(part: Part, stack: ExitStack) -> None:
    layer = part.layer
    rates = [name for name in _CELL_RATES if isinstance(getattr(layer, name, None), (int, float))]
    if rates:
        # a cell says to the layers in it whether the model is trained
        for name in rates:
            stack.callback(setattr, layer, name, getattr(layer, name))
            setattr(layer, name, 0.0)
        return
    if "training" not in inspect.signature(layer.call).parameters or layer.weights:
        return
    stack.enter_context(called_by(layer, _as_if_not_trained))


@contextmanager
def called_by(layer: Any, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Have a layer's ``call`` run inside what ``around`` makes of it."""
    held = vars(layer)
    before = held.get("call")
    held["call"] = around(layer.call)
    try:
        yield
    finally:
        held.pop("call")
        if before is not None:
            held["call"] = before


def _as_if_not_trained(call: Callable[..., Any]) -> Callable[..., Any]:
    def calmly(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **{**kwargs, "training": False})

    return calmly
