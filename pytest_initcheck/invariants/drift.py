"""drift: each layer's gain, weights and biases are those of the profile that the baseline has.

A claim per layer and quantity: a fresh initialisation lies in the band of those that the profile was
made of.  With other layers nothing is compared, for a layer of the same name may be another one; with
other inputs only tensors are.
PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_initcheck.config import Limits
from pytest_initcheck.invariants import Measure
from pytest_initcheck.profiles import QUANTITIES, Layer, LayerNumbers, Profile, numbers
from pytest_initcheck.trace import Trace

NAME = "drift"


@dataclass(frozen=True)
class Drift:
    """The invariant, made for one profile.

    * ``inputs`` describe what the model is fed now.
    """

    expected: Profile
    inputs: str

    def measure(self, trace: Trace, limits: Limits, seeds: int) -> tuple[Measure, ...]:
        """Return one claim per layer and quantity that can be compared, in log2."""
        now = numbers(trace)
        if changed_layers(self.expected, now) is not None:
            return ()
        same = self.inputs == self.expected.inputs
        return tuple(
            claim
            for layer in self.expected.layers
            for quantity in (QUANTITIES if same else QUANTITIES[1:])
            for claim in self._claims(layer, now[layer.name], quantity)
        )

    def _claims(self, layer: Layer, seen: LayerNumbers, quantity: str) -> list[Measure]:
        expected, value = getattr(layer, quantity), seen.values[quantity]
        if expected is None or value is None:
            return []
        low, high = expected.band(self.expected.inits)
        log = math.log2(value) if 0 < value < math.inf else -math.inf if value == 0 else math.inf
        return [
            Measure(
                f"{quantity}/{layer.name}",
                seen.site,
                log,
                low=low,
                high=high,
                limit=(2.0**low, 2.0**high),
            )
        ]

    def seeds_wanted(self, trace: Trace, limits: Limits) -> int:
        return 1


def changed_layers(
    expected: Profile, now: dict[str, LayerNumbers]
) -> tuple[list[str], list[str]] | None:
    """Return the layers that are new, and those that are gone or of another shape; None for neither."""
    before = {layer.name: layer.layer for layer in expected.layers}
    new = [name for name in now if name not in before]
    gone = [name for name, what in before.items() if name not in now or now[name].layer != what]
    return (new, gone) if new or gone else None
