"""Input distributions, drawn.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import DrawFn

from pytest_initcheck.inputs import Images, Normal, Uniform
from pytest_initcheck.strategies.arguments import check_range


@st.composite
def input_distributions(
    draw: DrawFn,
    *,
    shape: tuple[int, ...] | None = None,
    min_features: int = 8,
    max_features: int = 256,
    max_mean: float = 2.0,
    min_std: float = 0.25,
    max_std: float = 2.0,
) -> Normal | Uniform | Images:
    """Return a strategy for input distributions: normal, uniform and, for three sides, images.

    * ``shape`` is the shape of one sample; by default a vector of drawn length.
    * ``min_features`` and ``max_features`` bound that length.
    * ``max_mean`` is the largest absolute mean; 0 gives centred inputs.
    * ``min_std`` and ``max_std`` bound the standard deviation.

    Shrinks to N(0, 1), or to the standard deviation that is nearest to 1.
    """
    check_range("min_features", min_features, "max_features", max_features, 1)
    check_range("min_std", min_std, "max_std", max_std, 0.01)
    if max_mean < 0:
        raise InvalidArgument(f"max_mean={max_mean:g} must not be negative")
    if shape is None:
        shape = (draw(st.integers(min_features, max_features)),)
    check_range("the smallest side of shape", min(shape, default=1), "infinity", math.inf, 1)
    families = ["normal", "uniform"]
    if max_mean >= 0.5 and min_std <= math.sqrt(1 / 12) <= max_std:
        families.append("unit")
    if len(shape) == 3:
        families.append("images")
    family = draw(st.sampled_from(families))
    event(f"inputs: {family}")
    # every family draws the same choices: Hypothesis calls the shortest example the simplest
    mean = draw(_hundredths(0.0, -max_mean, max_mean))
    stretch = math.sqrt(3) if family == "uniform" else 1.0
    spread = draw(_hundredths(1.0, stretch * min_std, stretch * max_std))
    if family == "unit":  # pixels divided by 255
        return Uniform(shape, 0.0, 1.0)
    if family == "uniform":
        return Uniform(shape, round(mean - spread, 4), round(mean + spread, 4))
    return Normal(shape, mean, spread) if family == "normal" else Images(shape, mean, spread)


def _hundredths(simplest: float, low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers in steps of 1/100 from the simplest: their text is short and reads back."""
    start = min(max(simplest, low), high)

    def steps(room: float, sign: int) -> st.SearchStrategy[float]:
        most = math.floor(100 * room + 1e-9)
        return st.integers(0, most).map(lambda n: round(start + sign * n / 100, 4))

    return steps(high - start, 1) | steps(start - low, -1)
