"""A loss of the user's, called with what a model returned. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call
from pytest_initcheck.probes.tracebacks import user_traceback


def loss_value(loss: Callable[..., Any], output: Any, call: Call) -> Any:
    """Return what the user's loss makes of the output.

    A loss that takes two positional arguments is given the inputs besides: the one argument of the
    model, or the dictionary of its keywords, or the tuple of its arguments.

    Raises ModelError if it raises.
    """
    arguments = [output]
    if positional(loss) == 2:
        alone = len(call.args) == 1 and not call.kwargs
        arguments.append(call.args[0] if alone else dict(call.kwargs) if call.kwargs else call.args)
    try:
        return loss(*arguments)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"loss= raised {type(error).__name__}: {first}; it is called with the model's output",
            traceback_text=user_traceback(error),
        ) from error


def positional(function: Callable[..., Any]) -> int:
    """Return how many positional arguments a function has to be given, 1 where that is not known.

    >>> positional(lambda output, target: 0), positional(lambda output, scale=1: 0)
    (2, 1)
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)
