"""Which module is running, for the names of sites. PYTEST_DONT_REWRITE"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


def plain_name(path: str) -> str:
    """Return a module's path without what compiling a part of the model puts into it."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod")


class NamedParts(nn.Module):
    """A model whose parts have names that are not torch's: those of a framework that runs on torch.

    Its ``named_modules``, ``named_parameters`` and ``named_buffers`` give these names.
    """

    units_last = False
    """Whether images have their channels on the last axis."""

    def own_parameters(self, part: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters that belong to a part and to none inside it."""
        raise NotImplementedError

    def path_of(self, name: str) -> str:
        """Return the expression that reaches a parameter in the user's code."""
        raise NotImplementedError

    def whole(self, part: nn.Module) -> str | None:
        """Return the name of the one operation that all of a part's are together, None for others."""
        raise NotImplementedError


class ModuleStack:
    """The names of the modules whose forward is running, by global hooks: none on the model.

    ``wholes`` are parts that are one operation, each with its name, the operation's, the number of
    sites before it and what it returned.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._names: dict[int, str] = {}
        for name, module in model.named_modules(remove_duplicate=True):
            self._names[id(module)] = plain_name(name)
        self._running: list[nn.Module] = []
        self._started: list[int] = []
        self.sites: Sized = ()
        self.wholes: list[tuple[str, str, int, Any]] = []
        self.called: set[int] = set()
        self.batch_seen: int | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        def enter(module: nn.Module, args: Any) -> None:
            self._running.append(module)
            self._started.append(len(self.sites))
            self.called.add(id(module))
            self._look_for_samples(module, args)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if not self._running:
                return
            self._running.pop()
            start = self._started.pop()
            op = self._model.whole(module) if isinstance(self._model, NamedParts) else None
            if op is not None:
                self.wholes.append((self._names[id(module)], op, start, output))

        handles = (
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave, always_call=True),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._running.clear()
            self._started.clear()

    def _look_for_samples(self, module: nn.Module, args: Any) -> None:
        """Learn the number of samples from a module that has them on its second axis."""
        values = args[0] if args else None
        if self.batch_seen is not None or getattr(module, "batch_first", None) is not False:
            return
        if isinstance(values, Tensor) and values.dim() == 3:
            self.batch_seen = int(values.shape[1])

    def place(self, op: str) -> str:
        """Return a name for this operation: the leaf module's, or the enclosing path and the op."""
        if not self._running:
            return op
        module = self._running[-1]
        name = self._names.get(id(module), type(module).__name__)
        built_in = type(module).__module__.startswith("torch.nn")
        if built_in and next(module.children(), None) is None and name:
            return name
        return f"{name}.{op}" if name else op
