"""Where tensors come from: a site, or parameters alone, also after in-place writes to their storage.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

_Place = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Offset, shape and strides of a tensor in its storage."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor comes from: a site, or parameters alone, with the axis of its units."""

    site: int = -1
    axis: int = -1
    parameters: frozenset[str] = frozenset()
    positive_mask: bool = False
    stamp: int = 0


class Origins:
    """The origin of every tensor that was met, held weakly."""

    def __init__(self) -> None:
        # by identity, which one that died may have passed on: the reference tells
        self._known: dict[int, tuple[ref[Tensor], Origin]] = {}
        self._written: dict[StorageWeakRef, dict[_Place, Origin]] = {}
        self._written_at: set[int] = set()
        self._clock = 0

    def of(self, value: Any) -> Origin | None:
        """Return where a tensor comes from; a later in-place write to its storage wins.

        Chunks of one tensor share its storage and not its elements: a write to one is none to another.
        """
        if not isinstance(value, Tensor):
            return None
        entry = self._known.get(id(value))
        known = entry[1] if entry is not None and entry[0]() is value else None
        if not self._written or _address(value) not in self._written_at:
            return known
        place = _place_of(value)
        for written_place, written in self._written.get(_storage(value), {}).items():
            chunks = written_place[1:] == place[1:] and written_place != place
            if not chunks and (known is None or written.stamp > known.stamp):
                known = written
        return known

    def unwritten(self, base: Any, part: Tensor) -> bool:
        """Tell whether a part of a tensor that ``empty`` made still holds what was in memory."""
        entry = self._known.get(id(base))
        if (entry is not None and entry[0]() is base) or _address(part) not in self._written_at:
            return False
        place = _place_of(part)
        return not any(_overlap(place, written) for written in self._written.get(_storage(part), {}))

    def remember(self, tensor: Tensor, origin: Origin, *, in_place: bool = False) -> None:
        self._clock += 1
        stamped = Origin(origin.site, origin.axis, origin.parameters, origin.positive_mask, self._clock)
        self._known[id(tensor)] = ref(tensor), stamped
        if in_place:
            self._written_at.add(_address(tensor))
            self._written.setdefault(_storage(tensor), {})[_place_of(tensor)] = stamped

    def parameters(self, value: Any) -> frozenset[str]:
        """Return the parameters that a tensor was computed from, where no site had a part in it."""
        origin = self.of(value)
        return origin.parameters if origin is not None and origin.site < 0 else frozenset()

    def is_site(self, value: Any) -> bool:
        origin = self.of(value)
        return origin is not None and origin.site >= 0


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of an operation, those in lists too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)


def _address(tensor: Tensor) -> int:
    """Return where the storage is; another one may be there later."""
    return int(tensor.untyped_storage()._cdata)


def _overlap(one: _Place, other: _Place) -> bool:
    """Tell whether two parts of one tensor share elements; parts with other strides may."""
    (offset, shape, strides), (offset_other, _, strides_other) = sorted((one, other))
    if strides != strides_other:
        return True
    distance = offset_other - offset
    for axis in sorted(range(len(strides)), key=lambda axis: -strides[axis]):
        if strides[axis]:
            steps, distance = divmod(distance, strides[axis])
            if steps >= shape[axis]:
                return False
    return True


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


def _place_of(tensor: Tensor) -> _Place:
    if tensor.layout != torch.strided:
        return 0, tuple(tensor.shape), ()
    return int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())
