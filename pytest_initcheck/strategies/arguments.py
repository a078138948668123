"""What the strategies refuse, in Hypothesis' words.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis.errors import InvalidArgument

from pytest_initcheck.activations import activation as activation_named
from pytest_initcheck.errors import ConfigError, did_you_mean


def check_range(low_name: str, low: float, high_name: str, high: float, least: float) -> None:
    if low < least:
        raise InvalidArgument(f"{low_name}={low:g} must be at least {least:g}")
    if low > high:
        raise InvalidArgument(f"{low_name}={low:g} must not be above {high_name}={high:g}")


def check_known(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(values, str) or not values:
        raise InvalidArgument(f"{name}={values!r} must be a tuple of at least one of {', '.join(known)}")
    for value in values:
        if value not in known:
            raise InvalidArgument(f"{name} has no {value!r}{did_you_mean(str(value), known)}")


def check_activation(name: str | None) -> None:
    try:
        if name is not None:
            activation_named(name)
    except ConfigError as error:
        raise InvalidArgument(str(error)) from None
