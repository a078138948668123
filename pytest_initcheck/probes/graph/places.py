"""What sites are called: by the parameters that they read, or by where they stand.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re

_WEIGHTS = ("weight", "original", "kernel", "recurrent_kernel", "w", "embedding", "table")
_NUMBERED = re.compile(r"[wW]_?\d+")
_SOURCE = re.compile(r":\d+\b")


def owner(parameter: str) -> str:
    """Return what a weight belongs to; a weight that belongs to nothing is called by itself.

    >>> owner("layers.0.kernel"), owner("mlp/~/linear_0.w"), owner("dense/kernel"), owner("w1")
    ('layers.0', 'mlp/~/linear_0', 'dense', 'w1')

    Numbered weights stand for layers of their own:

    >>> owner("params.W1")
    'params.W1'
    """
    above, last = _split(parameter)
    if _NUMBERED.fullmatch(last):
        return parameter
    return above if above and last.lower().startswith(_WEIGHTS) else parameter


def place(label: str, op: str, latest: str, names: frozenset[str] = frozenset()) -> str:
    """Name what is no layer: by its parameters, by its label, or by the latest layer.

    A label that is a module's path goes before the latest layer, one that is a line of source after it.

    >>> place("net.py:12", "add", "fc1"), place("blocks/0", "add", "fc1"), place("", "add", "")
    ('fc1.add', 'blocks/0.add', 'add')
    >>> place("", "layer_norm", "fc1", frozenset({"norm.scale", "norm.bias"}))
    'norm'
    """
    owners = {_split(name)[0] or name for name in names}
    if owners:
        return min(owners)
    above = label if label and not _SOURCE.search(label) else latest or label
    return f"{above}.{op}" if above else op


def _split(parameter: str) -> tuple[str, str]:
    at = max(parameter.rfind("."), parameter.rfind("/"))
    return (parameter[:at], parameter[at + 1 :]) if at > 0 else ("", parameter)
