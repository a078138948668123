"""What of a torch model had no part in a forward pass: modules never called, parameters never used.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from torch import Tensor, nn

from pytest_initcheck.probes.torch_modules import NamedParts

_NOT_WORTH_A_LINE = (
    nn.Identity,
    nn.modules.dropout._DropoutNd,
    nn.modules.loss._Loss,
    nn.Sequential,
    nn.ModuleList,
    nn.ModuleDict,
    nn.ParameterList,
    nn.ParameterDict,
)
"""Without parameters these do nothing, or are not called by their nature."""


def canonical_names(module: nn.Module) -> dict[int, str]:
    """Return, by identity, the name under which a parameter is known: the first of its names."""
    return {id(parameter): name for name, parameter in module.named_parameters()}


def aliases(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return the other names of every parameter that has several: weights that are tied."""
    names = canonical_names(module)
    found: dict[str, tuple[str, ...]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first = names[id(parameter)]
        if name != first:
            found[first] = (*found.get(first, ()), name)
    return found


def unseen(
    module: nn.Module, known: Collection[str], called: Collection[int], used: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield (place, reason) for what these inputs did not reach, the outermost module once.

    ``known`` are the parameters that hold numbers, ``used`` those that some operation read, ``called``
    the identities of the modules whose forward ran.  A weight that another module uses, as attention
    does with its output projection, is used.
    """
    names = canonical_names(module)
    silent: list[str] = []
    for path, part in module.named_modules():
        if any(path.startswith((f"{outer}.", f"{outer}/")) for outer in silent):
            continue
        inside = {names[id(p)] for p in part.parameters() if id(p) in names} & set(known)
        if id(part) not in called and inside and inside.isdisjoint(used):
            silent.append(path)
            count = f"its {len(inside)} parameters are" if len(inside) > 1 else "its parameter is"
            yield path or "the model", f"never called on these inputs: {count} not judged"
        elif id(part) in called or inside:
            for name, parameter in _own_parameters(module, part):
                own = names[id(parameter)]
                if own in known and own not in used:
                    place = own if isinstance(module, NamedParts) else f"{path}.{name}".lstrip(".")
                    yield place, "no operation reads it on these inputs"
        elif isinstance(module, NamedParts):
            continue  # layers that do nothing here are called by their layer, or not
        elif next(part.children(), None) is None and not isinstance(part, _NOT_WORTH_A_LINE):
            yield path, "never called on these inputs"


def _own_parameters(module: nn.Module, part: nn.Module) -> Iterable[tuple[str, Tensor]]:
    if isinstance(module, NamedParts):
        return module.own_parameters(part)
    return part.named_parameters(recurse=False)
