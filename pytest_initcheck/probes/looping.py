"""The same call for one or many tensors, as code that can be pasted. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

_INDEX = re.compile(r"\[(\d+)\]")
_LINE = 88


def looped(call: str, paths: Sequence[str], values: Sequence[str] = ()) -> str:
    """Return the call once, or in a loop over the paths; ``{p}`` is a path in it and ``{v}`` its value.

    >>> print(looped("zero({p})", ["m[0].w", "m[2].w", "m[4].w"]))
    for i in range(0, 5, 2):
        zero(m[i].w)
    >>> print(looped("fill({p}, {v})", ["a", "b"], ["1", "2"]))
    for p, value in (
        (a, 1),
        (b, 2),
    ):
        fill(p, value)
    """
    if len(paths) == 1:
        return call.format(p=paths[0], v=values[0] if values else "")
    if len(set(values)) > 1:
        pairs = "".join(f"    ({path}, {value}),\n" for path, value in zip(paths, values, strict=True))
        return f"for p, value in (\n{pairs}):\n    {call.format(p='p', v='value')}"
    one = values[0] if values else ""
    pattern = _pattern(paths)
    if pattern is not None:
        text, numbers = pattern
        return f"for i in {_counted(numbers)}:\n    {call.format(p=text, v=one)}"
    line = ", ".join(paths)
    if len(line) > _LINE:
        line = "\n" + "".join(f"    {path},\n" for path in paths)
    return f"for p in ({line}):\n    {call.format(p='p', v=one)}"


def _pattern(paths: Sequence[str]) -> tuple[str, tuple[int, ...]] | None:
    """Return the path with ``i`` where alone the paths differ, and the numbers there."""
    if len({_INDEX.sub("[]", path) for path in paths}) > 1:
        return None
    found = [tuple(map(int, _INDEX.findall(path))) for path in paths]
    differ = [k for k, numbers in enumerate(zip(*found, strict=True)) if len(set(numbers)) > 1]
    if len(differ) != 1:
        return None
    place = list(_INDEX.finditer(paths[0]))[differ[0]]
    text = f"{paths[0][: place.start()]}[i]{paths[0][place.end() :]}"
    return text, tuple(numbers[differ[0]] for numbers in found)


def _counted(numbers: Sequence[int]) -> str:
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if len(steps) > 1 or min(steps) < 1:
        return f"({', '.join(map(str, numbers))})"
    step = steps.pop()
    return f"range({numbers[0]}, {numbers[-1] + 1}{f', {step}' if step > 1 else ''})"
