"""Writing a baseline as text that reads well in a diff. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pytest_initcheck.baseline import SCHEMA, Kept, Known
from pytest_initcheck.profiles import QUANTITIES, Layer, Profile

_HEAD = """\
# What fresh initialisations of each model look like, and which findings are known and why.
# pytest --initcheck compares with it; --initcheck-update-baseline writes it anew and keeps the reasons.
# gain: second moment over that of the layer before; weight, bias: root mean square; spread: of log2."""


def text(models: Mapping[str, Kept]) -> str:
    """Return the text of a baseline, models ordered by id.

    >>> print(text({"m.py::net": Kept(known=(Known("variance", "fc", None, "falls", "legacy"),))}))
    ... # doctest: +ELLIPSIS
    # What fresh initialisations ...
    schema = 1
    <BLANKLINE>
    [models."m.py::net"]
    known = [
      { invariant = "variance", site = "fc", seen = "falls", reason = "legacy" },
    ]
    <BLANKLINE>
    """
    lines = [_HEAD, f"schema = {SCHEMA}"]
    for id, kept in sorted(models.items()):
        lines += ["", f"[models.{quoted(id)}]", *_model(kept)]
    return "\n".join(lines) + "\n"


def _model(kept: Kept) -> Iterator[str]:
    if kept.profile is not None:
        yield from _profile(kept.profile)
    if kept.known:
        yield "known = ["
        yield from (f"  {_known(each)}," for each in kept.known)
        yield "]"


def _profile(profile: Profile) -> Iterator[str]:
    yield f"inputs = {quoted(profile.inputs)}"
    yield f"versions = {_row({name: quoted(version) for name, version in profile.versions.items()})}"
    yield f"inits = {profile.inits}"
    if profile.spread is not None:
        yield f"spread = {_number(profile.spread)}"
    yield "layers = ["
    yield from (f"  {_layer(each)}," for each in profile.layers)
    yield "]"


def _layer(layer: Layer) -> str:
    row = {"name": quoted(layer.name), "layer": quoted(layer.layer)}
    for quantity in QUANTITIES:
        found = getattr(layer, quantity)
        if found is not None:
            row[quantity] = _number(found.middle)
            if found.spread:
                row[f"{quantity}_spread"] = _number(found.spread)
    return _row(row)


def _known(known: Known) -> str:
    row = {"invariant": quoted(known.invariant)}
    for key in ("site", "direction"):
        value = getattr(known, key)
        if value is not None:
            row[key] = quoted(value)
    return _row({**row, "seen": quoted(known.seen), "reason": quoted(known.reason)})


def _row(pairs: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'{key} = {value}' for key, value in pairs.items())} }}" if pairs else "{}"


def _number(value: float) -> str:
    """Return four digits as TOML writes floats.

    >>> _number(1.0), _number(0.0884), _number(123456.0), _number(1.5e-7)
    ('1.0', '0.0884', '123500.0', '1.5e-07')
    """
    return repr(float(f"{value:.4g}"))


def quoted(value: str) -> str:
    """Return a text as a basic string of TOML, whatever is in it.

    >>> quoted("a \\"b\\" \\x7f"), quoted("\\ud800")
    ('"a \\\\"b\\\\" \\\\u007F"', '"?"')
    """
    clean = value.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007F")
