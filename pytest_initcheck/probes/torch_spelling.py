"""Fixes spelled as torch code. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_initcheck.trace import Parameter


def spell(parameters: Sequence[Parameter], std: float, activation: str) -> str:
    target = "model.get_parameter({})"
    code = _init_call(parameters, std, activation)
    if len(parameters) == 1:
        return code.format(target.format(repr(parameters[0].name)))
    names = ", ".join(repr(parameter.name) for parameter in parameters)
    return f"for p in ({names}): {code.format(target.format('p'))}"


def _init_call(parameters: Sequence[Parameter], std: float, activation: str) -> str:
    """Return the call of torch's own scheme, or of a plain normal draw where its fans are not these."""
    name, _, slope = activation.rstrip(")").partition("(")
    if all(_torch_fan_in(parameter) == parameter.fan_in for parameter in parameters):
        if name == "relu":
            return "nn.init.kaiming_normal_({}, nonlinearity='relu')"
        if name == "leaky_relu":
            return f"nn.init.kaiming_normal_({{}}, a={slope}, nonlinearity='leaky_relu')"
        if name in ("selu", "identity"):
            return "nn.init.kaiming_normal_({}, nonlinearity='linear')"
    return f"nn.init.normal_({{}}, std={std:.3g})"


def _torch_fan_in(parameter: Parameter) -> int:
    """Return the fan_in that ``nn.init`` reads off a weight's shape, [out, in, *kernel]."""
    return math.prod(parameter.shape[1:]) if len(parameter.shape) > 1 else 0
