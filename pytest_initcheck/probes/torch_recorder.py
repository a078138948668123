"""A dispatch mode that turns one forward pass into sites, reducing as it goes.

A dispatch mode sees functional, in-place and operator calls, attention and unfused recurrent cells
alike, once each; module hooks see none of the functional ones.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from pytest_initcheck.activations import activation
from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.torch_gradients import SiteGradients
from pytest_initcheck.probes.torch_layout import moved_axis, viewed_axis
from pytest_initcheck.probes.torch_modules import ModuleStack
from pytest_initcheck.trace import Moments, Parameter, Site

_NO_MOMENTS = Moments(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a tensor comes from: a site, or parameters alone, with the axis of its units."""

    site: int = -1
    axis: int = -1
    parameters: frozenset[str] = frozenset()
    positive_mask: bool = False
    stamp: int = 0


class Recorder(TorchDispatchMode):
    """Records sites; with ``rare_only`` it looks at rectifiers alone, for wholly dead layers."""

    def __init__(
        self,
        stack: ModuleStack,
        parameters: Mapping[str, Tensor],
        described: Mapping[str, Parameter],
        batch: int,
        *,
        rare_only: bool = False,
        site_gradients: SiteGradients | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.sites: list[Site] = []
        self.additive: set[str] = set()
        self.multiplicative: set[str] = set()
        self.unobserved: list[tuple[str, str]] = []
        self.squashed: dict[int, Tensor] = {}
        self.wholly_dead = False
        self.site_gradients = site_gradients
        self._stack = stack
        self._batch = batch
        self._described = described
        self._rare_only = rare_only
        self._names: Counter[str] = Counter()
        self._origins = WeakTensorKeyDictionary()
        self._written: dict[StorageWeakRef, dict[_Place, _Origin]] = {}
        self._clock = 0
        for name, tensor in parameters.items():
            self._origins[tensor] = _Origin(parameters=frozenset({name}))

    @property
    def used(self) -> set[str]:
        """The parameters that the forward pass read."""
        return self.additive | self.multiplicative

    # -- where tensors come from ----------------------------------------------------------------

    def origin(self, tensor: Tensor) -> _Origin | None:
        """Return where the tensor comes from; a later in-place write to its storage wins.

        Chunks of one tensor share its storage and not its elements: a write to one is none to another.
        """
        known: _Origin | None = self._origins.get(tensor)
        if not self._written:
            return known
        place = _place_of(tensor)
        for written_place, written in self._written.get(_storage(tensor), {}).items():
            chunks = written_place[1:] == place[1:] and written_place != place
            if not chunks and (known is None or written.stamp > known.stamp):
                known = written
        return known

    def _remember(self, tensor: Tensor, origin: _Origin, *, in_place: bool = False) -> None:
        self._clock += 1
        stamped = replace(origin, stamp=self._clock)
        self._origins[tensor] = stamped
        if in_place:
            self._written.setdefault(_storage(tensor), {})[_place_of(tensor)] = stamped

    def add_input(self, name: str, tensor: Tensor) -> None:
        """Record an input tensor as a site."""
        if self._rare_only:
            value = _NO_MOMENTS
        elif tensor.is_floating_point() or tensor.is_complex():
            value = reductions.moments(tensor, self._batch)
        else:
            value = reductions.moments(tensor.float(), self._batch)
        axis = 1 if tensor.dim() >= 4 or tensor.dim() == 2 else -1
        self._append(name, "input", "input", (), tensor, axis, value)

    # -- dispatch -------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self.site_gradients is not None:
            self.site_gradients.flush()
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        in_place = name.endswith("_") and not name.endswith("__")
        op = name[:-1] if in_place else name
        if op == "bernoulli" and in_place:
            # dropout and stochastic depth: the draw is replaced by its mean, which leaves E[x]
            probability = (
                args[1] if len(args) > 1 and isinstance(args[1], float) else kwargs.get("p", 0.5)
            )
            return args[0].fill_(probability)
        if op == "native_dropout":
            kept = args[0].clone()
            if (source := self.origin(args[0])) is not None:
                self._remember(kept, source)
            return kept, torch.ones_like(args[0], dtype=torch.bool)
        tensors = list(_tensors(args)) + list(_tensors(kwargs.values()))
        origins = [self.origin(tensor) for tensor in tensors]
        reads = tuple(dict.fromkeys(o.site for o in origins if o is not None and o.site >= 0))
        if not reads or op in ops.CREATIONS:
            out = func(*args, **kwargs)
            if op not in ops.CREATIONS:
                self._derive(origins, out, in_place)
            return out
        before = self._before(op, args, kwargs)
        out = func(*args, **kwargs)
        self._observe(op, args, kwargs, reads, out, in_place, before)
        return out

    def _derive(self, origins: list[_Origin | None], out: Any, in_place: bool) -> None:
        """A tensor computed from parameters alone, such as a transpose, still is the parameter."""
        names = frozenset().union(*(o.parameters for o in origins if o is not None))
        if names:
            for tensor in _tensors((out,)):
                self._remember(tensor, _Origin(parameters=names), in_place=in_place)

    def _before(self, op: str, args: Any, kwargs: Any) -> float | None:
        """Measure what an in-place activation would overwrite."""
        name = ops.activation_of(op, args, kwargs)
        if name is None or self._rare_only:
            return None
        beyond = activation(name).saturated_beyond
        return None if beyond is None else reductions.saturated_share(args[0], beyond)

    def _observe(
        self,
        op: str,
        args: Any,
        kwargs: Any,
        reads: tuple[int, ...],
        out: Any,
        in_place: bool,
        saturated: float | None,
    ) -> None:
        outputs = list(_tensors((out,)))
        if not outputs:
            return
        first = outputs[0]
        source = self.origin(args[0]) if args and isinstance(args[0], Tensor) else None
        if op == "copy" and len(args) > 1 and isinstance(args[1], Tensor):
            source = self.origin(args[1]) or source
        if not first.is_floating_point() and not first.is_complex():
            mask = op in ops.COMPARISONS and len(args) > 1 and _is_zero(args[1])
            for tensor in outputs:
                self._remember(tensor, _Origin(reads[0], positive_mask=mask), in_place=in_place)
            return
        if op == "_to_copy" and self._casts_input(args[0], reads):
            self._append(f"{self.sites[reads[0]].name}.float", "cast", "cast", reads, first, -1)
            return
        if op in ops.ALIASES or op == "copy":
            self._alias(op, args, source or _Origin(reads[0]), first, in_place)
            return
        if op in ops.SLICES:
            for tensor in outputs:
                self._append(
                    self._stack.place(op), "slice", op, reads, tensor, self._axis(tensor, source)
                )
            return
        if op in ops.MATMULS or op == "convolution" or op == "embedding":
            self._linear(op, args, reads, first, in_place)
        elif op == "glu":
            self._glu(args, reads, first)
        elif self._adds_bias(op, args, reads, first):
            self._merge_bias(args, reads[0], first, in_place)
        else:
            self._elementwise(op, args, kwargs, reads, outputs, in_place, saturated, source)

    def _casts_input(self, tensor: Tensor, reads: tuple[int, ...]) -> bool:
        """Tell whether whole numbers of an input become a signal here: pixels, say, or counts."""
        whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        return whole and self.sites[reads[0]].kind == "input"

    def _alias(self, op: str, args: Any, source: _Origin, out: Tensor, in_place: bool) -> None:
        axis = source.axis
        before = args[0] if isinstance(args[0], Tensor) else out
        if op in ("permute", "transpose", "t"):
            axis = moved_axis(op, args, axis, before.dim())
        elif out.dim() != before.dim() or out.shape != before.shape:
            axis = viewed_axis(before, out, axis)
        self._remember(out, replace(source, axis=axis), in_place=in_place)

    def _axis(self, tensor: Tensor, source: _Origin | None) -> int:
        if tensor.dim() == 2:
            return 1
        if source is not None and -tensor.dim() <= source.axis < tensor.dim():
            return source.axis
        return 1 if tensor.dim() >= 4 else -1

    # -- kinds of sites --------------------------------------------------------------------------

    def _linear(self, op: str, args: Any, reads: tuple[int, ...], out: Tensor, in_place: bool) -> None:
        weight: Any
        coverage = 1.0
        if op == "convolution":
            coverage = 1.0 if self._rare_only else ops.convolution_coverage(args)
            weight, bias, axis = args[1], args[2], 1
            fans = ops.convolution_fans(args)
        elif op == "embedding":
            weight, bias, axis = args[0], None, -1
            fans = (1, int(args[0].shape[-1]))
        else:
            left, right, bias = ops.matmul_operands(op, args)
            on_the_right = not self._parameters_of(left)
            weight, axis = (right if on_the_right else left), -1
            fans = ops.matmul_fans(weight, on_the_right=on_the_right)
        names = self._parameters_of(weight)
        if bias is not None and self._is_site(bias):
            bias = None
        kind = ("embedding" if op == "embedding" else "linear") if names else "matmul"
        self.multiplicative |= names
        bias_names = self._parameters_of(bias)
        self.additive |= bias_names
        place = self._weight_place(names) if names else self._stack.place(op)
        self._append(
            place,
            kind,
            "conv" if op == "convolution" else kind,
            reads,
            out,
            axis,
            weight=self._parameter(names, fans),
            bias=self._parameter(bias_names, (0, 0)),
            coverage=coverage,
            in_place=in_place,
        )

    def _weight_place(self, names: frozenset[str]) -> str:
        """Name a linear site by the module that owns its weight; a bare parameter by itself."""
        name = min(names)
        owner, _, last = name.rpartition(".")
        if owner.endswith("parametrizations." + last) or "parametrizations" in owner:
            owner = owner.split(".parametrizations")[0]
        return owner if owner and last.startswith(("weight", "original", "kernel", "w")) else name

    def _parameter(self, names: frozenset[str], fans: tuple[int, int]) -> Parameter | None:
        known = [self._described[name] for name in sorted(names) if name in self._described]
        if not known:
            return None
        return replace(max(known, key=lambda p: p.count), fan_in=fans[0], fan_out=fans[1])

    def _parameters_of(self, value: Any) -> frozenset[str]:
        origin = self.origin(value) if isinstance(value, Tensor) else None
        return origin.parameters if origin is not None and origin.site < 0 else frozenset()

    def _is_site(self, value: Any) -> bool:
        origin = self.origin(value) if isinstance(value, Tensor) else None
        return origin is not None and origin.site >= 0

    def _adds_bias(self, op: str, args: Any, reads: tuple[int, ...], out: Tensor) -> bool:
        if op not in ("add", "sub") or len(reads) != 1 or len(args) < 2:
            return False
        names = self._parameters_of(args[1]) or self._parameters_of(args[0])
        site = self.sites[reads[0]]
        return (
            bool(names) and site.kind == "linear" and site.bias is None and not self._read_by_any(site)
        )

    def _read_by_any(self, site: Site) -> bool:
        return any(site.index in later.reads for later in self.sites[site.index + 1 :])

    def _merge_bias(self, args: Any, index: int, out: Tensor, in_place: bool) -> None:
        names = self._parameters_of(args[1]) or self._parameters_of(args[0])
        self.additive |= names
        site = self.sites[index]
        value = _NO_MOMENTS if self._rare_only else reductions.moments(out, self._batch)
        self.sites[index] = replace(site, value=value, bias=self._parameter(names, (0, 0)))
        axis = 1 if site.op == "conv" else -1
        self._remember(out, _Origin(index, axis), in_place=in_place)

    def _elementwise(
        self,
        op: str,
        args: Any,
        kwargs: Any,
        reads: tuple[int, ...],
        outputs: list[Tensor],
        in_place: bool,
        saturated: float | None,
        source: _Origin | None,
    ) -> None:
        name = ops.activation_of(op, args, kwargs) or self._composed(op, args, reads)
        if name == "softsign" and not self._rare_only:
            beyond = activation(name).saturated_beyond
            saturated = None if beyond is None else reductions.saturated_share(args[0], beyond)
        kind = self._kind(op, args, reads, name)
        self._take_roles(op, kind, args)
        index = self._append(
            self._stack.place(name or op),
            kind,
            name.partition("(")[0] if name else op,
            reads,
            outputs[0],
            self._axis(outputs[0], source),
            activation_name=name,
            saturated=saturated,
            in_place=in_place,
        )
        if name in ("sigmoid", "tanh", "log_sigmoid") or kind == "softmax":
            self._keep_logits(index, args[0], in_place)
        if op in ops.RECURRENT:
            self.unobserved.append((self.sites[index].name, f"{op} runs fused: its gates are not seen"))
        elif op in ops.ATTENTION:
            self.unobserved.append((self.sites[index].name, "attention runs fused: weights not seen"))
        for extra in outputs[1:]:
            if extra.is_floating_point():
                self._remember(extra, _Origin(index))

    def _glu(self, args: Any, reads: tuple[int, ...], out: Tensor) -> None:
        """A gated linear unit is one operation here: its gate is shown as the sigmoid that it is."""
        gate = torch.chunk(args[0], 2, args[1] if len(args) > 1 else -1)[1]
        axis = self._axis(out, self.origin(args[0]))
        share = None
        if not self._rare_only:
            beyond = activation("sigmoid").saturated_beyond
            share = None if beyond is None else reductions.saturated_share(gate, beyond)
        index = self._append(
            self._stack.place("sigmoid"),
            "activation",
            "sigmoid",
            reads,
            torch.sigmoid(gate.detach()),
            axis,
            activation_name="sigmoid",
            saturated=share,
        )
        self._append(self._stack.place("glu"), "mul", "glu", (*reads, index), out, axis)

    def _keep_logits(self, index: int, tensor: Tensor, in_place: bool) -> None:
        """Keep the input of the latest squashing ops: one of them may turn out to be the logits."""
        if in_place or not tensor.requires_grad:
            return
        self.squashed[index] = tensor
        if len(self.squashed) > 4:
            self.squashed.pop(next(iter(self.squashed)))

    def _composed(self, op: str, args: Any, reads: tuple[int, ...]) -> str | None:
        """Recognise activations that are written out with operators."""
        if op == "mul" and len(args) > 1:
            pair = [self.origin(a) if isinstance(a, Tensor) else None for a in args[:2]]
            if any(o is not None and o.positive_mask and o.site == reads[0] for o in pair):
                return "relu"
            if len(reads) == 2:
                gate = next((r for r in reads if self.sites[r].activation == "sigmoid"), None)
                if gate is not None and self.sites[gate].reads == tuple(r for r in reads if r != gate):
                    # the sigmoid is a part of SiLU, not a unit that saturates
                    self.sites[gate] = replace(self.sites[gate], activation=None, saturated=None)
                    return "silu"
        if op == "where" and len(args) == 3:
            mask = self.origin(args[0])
            zero = isinstance(args[2], Tensor) and not bool(args[2].any())
            if mask is not None and mask.positive_mask and len(reads) == 1 and zero:
                return "relu"
        if op == "div" and len(reads) == 2:
            below = self.sites[reads[1]]
            if below.op == "add" and len(below.reads) == 1:
                inner = self.sites[below.reads[0]]
                if inner.op == "abs" and inner.reads == reads[:1]:
                    return "softsign"
        return None

    def _kind(self, op: str, args: Any, reads: tuple[int, ...], name: str | None) -> str:
        if name is not None:
            return "activation"
        if op in ops.NORMS:
            return "norm"
        if op in ("mul", "div") and any(self.sites[r].kind == "scale" for r in reads) and len(reads) > 1:
            return "norm"
        if op in ops.SCALES:
            return "scale"
        table = {
            "softmax": ops.SOFTMAXES,
            "pool": ops.POOLS,
            "cat": ops.CONCATENATIONS,
            "attention": ops.ATTENTION,
            "recurrent": ops.RECURRENT,
        }
        for kind, members in table.items():
            if op in members:
                return kind
        return op if op in ("add", "mul") else {"sub": "add", "div": "mul"}.get(op, "other")

    def _take_roles(self, op: str, kind: str, args: Any) -> None:
        """A parameter that is only ever added, concatenated or a bias is not multiplicative."""
        bias_at = ops.NORMS.get(op)
        for position, argument in enumerate(args):
            names = frozenset().union(*(self._parameters_of(t) for t in _tensors((argument,))))
            if not names:
                continue
            if kind in ("add", "cat") or position == bias_at:
                self.additive |= names
            else:
                self.multiplicative |= names

    def _append(
        self,
        place: str,
        kind: str,
        op: str,
        reads: tuple[int, ...],
        out: Tensor,
        axis: int,
        value: Moments | None = None,
        *,
        activation_name: str | None = None,
        saturated: float | None = None,
        weight: Parameter | None = None,
        bias: Parameter | None = None,
        coverage: float = 1.0,
        in_place: bool = False,
    ) -> int:
        index = len(self.sites)
        if value is None:
            value = _NO_MOMENTS if self._rare_only else reductions.moments(out, self._batch)
        dead: float | None = None
        if activation_name is not None and activation(activation_name).inactive_below is not None:
            inactive, rectifiers = reductions.dead_units(out, axis)
            self.wholly_dead |= rectifiers > 0 and inactive == rectifiers
            dead = inactive / rectifiers if rectifiers else None
        self._names[place] += 1
        count = self._names[place]
        units = int(out.shape[axis]) if out.dim() and -out.dim() <= axis < out.dim() else 1
        self.sites.append(
            Site(
                index,
                place if count == 1 else f"{place}#{count}",
                kind,
                op,
                reads,
                units,
                value,
                activation_name,
                saturated,
                dead,
                weight,
                bias,
                coverage,
            )
        )
        if self.site_gradients is not None:
            self.site_gradients.add(index, out)
        self._remember(out, _Origin(index, axis), in_place=in_place)
        return index


_Place = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Offset, shape and strides of a tensor in its storage."""


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


def _place_of(tensor: Tensor) -> _Place:
    if tensor.layout != torch.strided:
        return 0, tuple(tensor.shape), ()
    return int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _is_zero(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and not bool(value.any())
    return isinstance(value, (int, float)) and value == 0
