"""The layers and variables of a Keras model: their paths, and how the user's code reaches them.

Keras numbers layers of one class through the whole process: ``dense_3`` is the fourth that was ever
built.  Two builds of one model shall have the same names, so automatic numbers count from the first of
their class in this model, as they do in a process that builds it alone.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

_NUMBERED = re.compile(r"(.+?)(?:_(\d+))?")


@dataclass(frozen=True, slots=True)
class Part:
    """A layer: its path in the model, the expression that reaches it, and the layer that holds it.

    The model itself has the path ``""``.
    """

    layer: Any
    path: str
    expression: str
    outer: int


@dataclass(frozen=True, slots=True)
class Held:
    """A variable of a layer.

    * ``state``: it is carried and never trained, as moving averages and seeds are; a weight that is
      frozen is none.
    * ``aliases``: its other names, where layers share it.
    """

    name: str
    variable: Any
    expression: str
    part: int
    state: bool
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layers:
    """Everything in a model, each layer and each variable once, in the order of the model."""

    parts: tuple[Part, ...]
    held: tuple[Held, ...]

    @property
    def weights(self) -> tuple[Held, ...]:
        return tuple(each for each in self.held if not each.state)

    @property
    def states(self) -> tuple[Held, ...]:
        return tuple(each for each in self.held if each.state)

    @property
    def plain(self) -> frozenset[str]:
        """The paths of layers without weights and without layers inside them."""
        outer = {part.outer for part in self.parts}
        owners = {each.part for each in self.weights}
        return frozenset(
            part.path
            for index, part in enumerate(self.parts)
            if part.path and index not in outer and index not in owners
        )

    def place(self, scope: str) -> str:
        """Return the path of the layer that runs in a name scope of Keras; "" outside of any."""
        current = 0
        for name in scope.split("/"):
            inside = self._inside.get((current, name))
            current = current if inside is None else inside
        return self.parts[current].path

    @functools.cached_property
    def _inside(self) -> Mapping[tuple[int, str], int]:
        return {(part.outer, part.layer.name): index for index, part in enumerate(self.parts)}


def layers_of(model: Any) -> Layers:
    """Return the layers and the variables of a model with their names."""
    found: list[tuple[Any, str, int]] = []
    _walk(model, "model", -1, found, {})
    names = _fresh_names([layer for layer, _, _ in found])
    paths: list[str] = []
    taken: Counter[str] = Counter()
    for index, (_, _, outer) in enumerate(found):
        above = paths[outer] if outer >= 0 else ""
        path = "" if index == 0 else f"{above}/{names[index]}".lstrip("/")
        taken[path] += 1
        paths.append(path if taken[path] == 1 else f"{path}_{taken[path] - 1}")
    parts = tuple(
        Part(layer, path, expression, outer)
        for (layer, expression, outer), path in zip(found, paths, strict=True)
    )
    return Layers(parts, tuple(_variables(model, parts)))


# -- layers ---------------------------------------------------------------------------------------


def _walk(
    layer: Any, expression: str, outer: int, found: list[tuple[Any, str, int]], seen: dict[int, int]
) -> None:
    if id(layer) in seen:
        return
    index = seen[id(layer)] = len(found)
    found.append((layer, expression, outer))
    for inner, reached in _children(layer, expression):
        _walk(inner, reached, index, found, seen)


def _children(layer: Any, expression: str) -> Iterator[tuple[Any, str]]:
    """Yield the layers inside a layer; those that bear an attribute's name by that."""
    named = list(_attributes(layer, expression, keras.Layer))
    if not isinstance(layer, keras.Model):
        yield from named
        return
    by_attribute = {id(inner): text for inner, text in named if f"{expression}._" not in text}
    for index, inner in enumerate(layer.layers):
        if not isinstance(inner, keras.layers.InputLayer):
            listed = f"layers[{index}]" if _automatic(inner) else f'get_layer("{inner.name}")'
            yield inner, by_attribute.get(id(inner), f"{expression}.{listed}")


def _attributes(owner: Any, expression: str, kind: type) -> Iterator[tuple[Any, str]]:
    """Yield what an object holds of a kind, in its attributes and in lists and dicts there."""
    # on torch a layer is a module, which keeps other modules apart
    apart = dict(owner.named_children()) if hasattr(owner, "named_children") else {}
    seen: set[int] = set()
    for name, value in sorted({**vars(owner), **apart}.items(), key=lambda pair: pair[0][0] == "_"):
        if name in _COLLECTIONS:
            continue
        public = name.lstrip("_")
        shown = public if getattr(owner, public, None) is value else name
        for item, place in _items(value, f"{expression}.{shown}", kind):
            if id(item) not in seen:
                seen.add(id(item))
                yield item, place


_COLLECTIONS = frozenset(
    {"_layers", "_modules", "_functional", "_trainable_variables"}
    | {"_non_trainable_variables", "_torch_params", "_seed_generators", "_metrics"}
)
"""Where Keras and torch keep once more what the user's code has in places of its own."""


def _items(value: Any, expression: str, kind: type, depth: int = 0) -> Iterator[tuple[Any, str]]:
    if isinstance(value, kind):
        yield value, expression
    elif depth < 4 and isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _items(item, f"{expression}[{index}]", kind, depth + 1)
    elif depth < 4 and isinstance(value, dict):
        for key, item in value.items():
            yield from _items(item, f"{expression}[{key!r}]", kind, depth + 1)


def _fresh_names(layers: list[Any]) -> list[str]:
    """Return each layer's name with the number that it has in a process with this model alone."""
    automatic: dict[str, set[int]] = defaultdict(set)
    numbers: list[tuple[str, int] | None] = []
    for layer in layers:
        own = _automatic(layer)
        if own is not None:
            automatic[own[0]].add(own[1])
        numbers.append(own)
    ranks = {stem: {n: rank for rank, n in enumerate(sorted(them))} for stem, them in automatic.items()}
    names = []
    for layer, own in zip(layers, numbers, strict=True):
        if own is None:
            names.append(layer.name)
        else:
            rank = ranks[own[0]][own[1]]
            names.append(f"{own[0]}_{rank}" if rank else own[0])
    return names


def _automatic(layer: Any) -> tuple[str, int] | None:
    """Return a name that Keras gave in its two parts, None for one that the user chose."""
    match = _NUMBERED.fullmatch(layer.name)
    if match is None or match[1] != _snake_case(type(layer).__name__):
        return None
    return match[1], int(match[2] or 0)


def _snake_case(name: str) -> str:
    """Return a class's name as Keras makes a layer's name of it."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# -- variables ------------------------------------------------------------------------------------


def _variables(model: Any, parts: tuple[Part, ...]) -> Iterator[Held]:
    """Yield the variables, each once, by the innermost layer that has it."""
    trained = _trained(parts)
    inside: dict[int, set[int]] = defaultdict(set)
    for part in parts[1:]:
        inside[part.outer] |= {id(v) for v in part.layer.variables}
    found: dict[int, Held] = {}
    for index, part in enumerate(parts):
        reached = {id(v): t for v, t in _attributes(part.layer, part.expression, keras.Variable)}
        taken: Counter[str] = Counter()
        for position, variable in enumerate(part.layer.variables):
            if id(variable) in inside[index]:
                continue
            last = variable.name.replace("/", "_")
            taken[last] += 1
            if taken[last] > 1:
                last = f"{last}_{taken[last] - 1}"
            name = f"{part.path}/{last}".lstrip("/")
            before = found.get(id(variable))
            if before is not None:
                found[id(variable)] = replace(before, aliases=(*before.aliases, name))
                continue
            expression = reached.get(id(variable), f"{part.expression}.variables[{position}]")
            found[id(variable)] = Held(name, variable, expression, index, id(variable) not in trained)
    yield from found.values()


def _trained(parts: tuple[Part, ...]) -> frozenset[int]:
    """Return the identities of the variables that are weights, whether they are frozen or not.

    Keras tells a frozen weight from a moving average only by thawing the model.
    """
    model = parts[0].layer
    if not model.non_trainable_variables:
        return frozenset(id(v) for v in model.variables)
    flags = [(part.layer, part.layer.trainable) for part in parts]
    variables = [(v, v.trainable) for v in model.variables]
    try:
        model.trainable = True
        return frozenset(id(v) for v in model.trainable_variables)
    finally:
        for layer, flag in flags:  # outer layers first: they pass their flag on
            layer.trainable = flag
        for variable, flag in variables:
            variable.trainable = flag
