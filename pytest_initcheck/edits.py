"""What a fix changes, as plain data: the probe of a framework spells it as code and applies it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

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
