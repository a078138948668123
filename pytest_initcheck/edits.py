"""What a fix changes, as plain data: the probe of a framework spells it as code and applies it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a model's tensors, of its modules, or of its inputs.

    ``values`` has one number per name, except where said otherwise:

    * ``"draw"``: draw each parameter anew from N(0, value^2), for the ``activation`` behind it.
    * ``"orthogonal"``: draw each weight orthogonal, times value.
    * ``"fill"``: set every entry of each parameter to value.
    * ``"scale"``: multiply each parameter by value.
    * ``"remove"``: each of the named modules passes its input on; no values.
    * ``"standardise"``: the named input becomes (x - mean) / std; values are mean and std.
    * ``"standardise-columns"``: each column of the named input gets mean 0 and std 1; no values.
    """

    kind: str
    names: tuple[str, ...]
    values: tuple[float, ...] = ()
    activation: str = "identity"

    @property
    def of_inputs(self) -> bool:
        return self.kind.startswith("standardise")


def merged(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the edits with those that make the same change in one, in the order of the first of each.

    >>> merged([Edit("fill", ("a",), (0.0,)), Edit("fill", ("b",), (0.0,))])
    (Edit(kind='fill', names=('a', 'b'), values=(0.0, 0.0), activation='identity'),)
    """
    found: dict[tuple[str, str], Edit] = {}
    for edit in edits:
        key = (edit.kind, edit.activation)
        before = found.get(key)
        if before is not None:
            names, values = (*before.names, *edit.names), (*before.values, *edit.values)
            edit = Edit(edit.kind, names, values, edit.activation)
        found[key] = edit
    return tuple(found.values())
