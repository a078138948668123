"""A dispatch mode that turns one forward pass into sites, reducing as it goes.

A dispatch mode sees functional, in-place and operator calls, attention and unfused recurrent cells
alike, once each; module hooks see none of the functional ones.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_initcheck.activations import activation
from pytest_initcheck.probes import torch_ops as ops
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.torch_attention import attention_share, softmax_share
from pytest_initcheck.probes.torch_chains import Chains, Composed, saturated_share
from pytest_initcheck.probes.torch_gradients import SiteGradients
from pytest_initcheck.probes.torch_inputs import columns
from pytest_initcheck.probes.torch_kinds import is_zero, kind_of
from pytest_initcheck.probes.torch_layout import moved_axis, viewed_axis
from pytest_initcheck.probes.torch_modules import ModuleStack
from pytest_initcheck.probes.torch_origins import Origin, Origins, tensors_in
from pytest_initcheck.probes.torch_products import product, weight_place
from pytest_initcheck.probes.torch_reductions import PreActivations
from pytest_initcheck.probes.torch_state import Kept
from pytest_initcheck.trace import Histogram, InputColumns, Moments, Parameter, Site

_NO_MOMENTS = Moments(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)


class Recorder(TorchDispatchMode):
    """Records sites; with ``rare_only`` it looks at rectifiers alone, for wholly dead layers."""

    def __init__(
        self,
        stack: ModuleStack,
        parameters: Mapping[str, Tensor],
        described: Mapping[str, Parameter],
        batch: int,
        kept: Kept,
        *,
        rare_only: bool = False,
        histograms: bool = False,
        site_gradients: SiteGradients | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch does not annotate it
        self.sites: list[Site] = []
        self.additive: set[str] = set()
        self.biases: set[str] = set()
        self.multiplicative: set[str] = set()
        self.inputs: list[InputColumns] = []
        self.unobserved: list[tuple[str, str]] = []
        self.squashed: dict[int, Tensor] = {}
        self.wholly_dead = False
        self.site_gradients = site_gradients
        self._stack = stack
        stack.sites = self.sites
        self.batch = batch
        self._kept = kept
        self._described = described
        self._rare_only = rare_only
        self._histograms = histograms
        self._names: Counter[str] = Counter()
        self.origins = Origins()
        self._chains = Chains(self.sites, self.origins)
        for name, tensor in parameters.items():
            self.origins.remember(tensor, Origin(parameters=frozenset({name})))

    @property
    def used(self) -> set[str]:
        """The parameters that some operation read."""
        return self.additive | self.multiplicative

    def add_input(self, name: str, tensor: Tensor, *, units_last: bool = False) -> None:
        """Record an input tensor as a site; an image's channels are on its second axis, or its last."""
        if not self._rare_only:
            self.inputs.append(columns(name, tensor, self.batch, units_last=units_last))
        if self._rare_only:
            value = _NO_MOMENTS
        elif tensor.is_floating_point() or tensor.is_complex():
            value = reductions.moments(tensor, self.batch)
        else:
            value = reductions.moments(tensor.float(), self.batch)
        axis = 1 if (tensor.dim() >= 4 and not units_last) or tensor.dim() == 2 else -1
        self._append(name, "input", "input", (), tensor, axis, value)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # the wrapper that torch puts around the method below imports its compiler, a second's work
        return False

    # -- dispatch -------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self.site_gradients is not None:
            self.site_gradients.flush()
        kwargs = kwargs or {}
        op, in_place, writes = ops.called(func)
        if writes:
            self._kept.before_write(tensors_in((*args, *kwargs.values())))
        if op in ops.DROPOUTS:
            calm = ops.without_dropout(func, args, kwargs, signal=self.origins.is_site(args[0]))
            if calm is not None:
                source = self.origins.of(args[0]) if op == "native_dropout" else None
                if source is not None:
                    self.origins.remember(calm[0], source)
                return calm
        tensors = list(tensors_in(args)) + list(tensors_in(kwargs.values()))
        origins = [self.origins.of(tensor) for tensor in tensors]
        reads = tuple(dict.fromkeys(o.site for o in origins if o is not None and o.site >= 0))
        if not reads or op in ops.CREATIONS:
            out = func(*args, **kwargs)
            if op not in ops.CREATIONS:
                self._derive(origins, out, in_place)
            return out
        before = self._before(op, args, kwargs, reads)
        out = func(*args, **kwargs)
        self._observe(op, args, kwargs, reads, out, in_place, before)
        return out

    def _derive(self, origins: list[Origin | None], out: Any, in_place: bool) -> None:
        """A tensor computed from parameters alone, such as a transpose, still is the parameter."""
        names = frozenset().union(*(o.parameters for o in origins if o is not None))
        if names:
            for tensor in tensors_in((out,)):
                self.origins.remember(tensor, Origin(parameters=names), in_place=in_place)

    def _before(self, op: str, args: Any, kwargs: Any, reads: tuple[int, ...]) -> PreActivations:
        """Measure what an in-place activation would overwrite."""
        self._chains.sampled(op, args, reads)
        name = ops.activation_of(op, args, kwargs)
        return PreActivations() if name is None else self._read_by(name, args[0])

    def _read_by(self, name: str, z: Tensor) -> PreActivations:
        if self._rare_only:
            return PreActivations()
        beyond = activation(name).saturated_beyond
        return reductions.pre_activations(z, beyond, histograms=self._histograms)

    def _observe(
        self,
        op: str,
        args: Any,
        kwargs: Any,
        reads: tuple[int, ...],
        out: Any,
        in_place: bool,
        before: PreActivations,
    ) -> None:
        outputs = list(tensors_in((out,)))
        if not outputs:
            return
        first = outputs[0]
        source = self.origins.of(args[0]) if args else None
        if op == "copy" and len(args) > 1:
            source = self.origins.of(args[1]) or source
        if not first.is_floating_point() and not first.is_complex():
            mask = op in ops.COMPARISONS and len(args) > 1 and is_zero(args[1])
            for tensor in outputs:
                self.origins.remember(tensor, Origin(reads[0], positive_mask=mask), in_place=in_place)
            return
        if op == "_to_copy" and self._casts_input(args[0], reads):
            self._append(f"{self.sites[reads[0]].name}.float", "cast", "cast", reads, first, -1)
            return
        if op in ops.ALIASES or op == "copy":
            self._alias(op, args, source or Origin(reads[0]), first, in_place)
            return
        if op in ops.SLICES:
            for tensor in outputs:
                if self.origins.unwritten(args[0], tensor):
                    continue
                self._append(
                    self._stack.place(op), "slice", op, reads, tensor, self._axis(tensor, source)
                )
            return
        if op in ops.MATMULS or op in ops.LOOK_UPS or op == "convolution":
            self._linear(op, args, reads, first, in_place)
        elif op == "glu":
            self._glu(args, reads, first)
        elif self._adds_bias(op, args, reads, first):
            self._merge_bias(args, reads[0], first, in_place)
        else:
            self._elementwise(op, args, kwargs, reads, outputs, in_place, before, source)

    def _casts_input(self, tensor: Tensor, reads: tuple[int, ...]) -> bool:
        """Tell whether whole numbers of an input become a signal here: pixels, say, or counts."""
        whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        return whole and self.sites[reads[0]].kind == "input"

    def _alias(self, op: str, args: Any, source: Origin, out: Tensor, in_place: bool) -> None:
        axis = source.axis
        before = args[0] if isinstance(args[0], Tensor) else out
        if op in ("permute", "transpose", "t"):
            axis = moved_axis(op, args, axis, before.dim())
        elif out.dim() != before.dim() or out.shape != before.shape:
            axis = viewed_axis(before, out, axis)
        self.origins.remember(out, replace(source, axis=axis), in_place=in_place)

    def _axis(self, tensor: Tensor, source: Origin | None) -> int:
        if tensor.dim() == 2:
            return 1
        if source is not None and -tensor.dim() <= source.axis < tensor.dim():
            return source.axis
        return 1 if tensor.dim() >= 4 else -1

    # -- kinds of sites --------------------------------------------------------------------------

    def _linear(self, op: str, args: Any, reads: tuple[int, ...], out: Tensor, in_place: bool) -> None:
        found = product(op, args, self.origins)
        self.multiplicative |= found.names
        self.additive |= found.bias_names
        self.biases |= found.bias_names
        self._append(
            self._weight_place(op, found.names),
            found.kind,
            found.op,
            reads,
            out,
            found.axis,
            weight=self._parameter(found.names, found.fans),
            bias=self._parameter(found.bias_names, (0, 0)),
            coverage=1.0 if op != "convolution" or self._rare_only else ops.convolution_coverage(args),
            in_place=in_place,
        )

    def _weight_place(self, op: str, names: frozenset[str]) -> str:
        """Name a linear site by the owner of its weight; a tied one by the owner that runs."""
        place = self._stack.place(op)
        tied = {
            alias for name in names if name in self._described for alias in self._described[name].aliases
        }
        return place if not names or f"{place}.weight" in tied else weight_place(names)

    def _parameter(self, names: frozenset[str], fans: tuple[int, int]) -> Parameter | None:
        known = [self._described[name] for name in sorted(names) if name in self._described]
        if not known:
            return None
        return replace(max(known, key=lambda p: p.count), fan_in=fans[0], fan_out=fans[1])

    def _adds_bias(self, op: str, args: Any, reads: tuple[int, ...], out: Tensor) -> bool:
        if op not in ("add", "sub") or len(reads) != 1 or len(args) < 2:
            return False
        names = self.origins.parameters(args[1]) or self.origins.parameters(args[0])
        site = self.sites[reads[0]]
        return (
            bool(names) and site.kind == "linear" and site.bias is None and not self._read_by_any(site)
        )

    def _read_by_any(self, site: Site) -> bool:
        return any(site.index in later.reads for later in self.sites[site.index + 1 :])

    def _merge_bias(self, args: Any, index: int, out: Tensor, in_place: bool) -> None:
        names = self.origins.parameters(args[1]) or self.origins.parameters(args[0])
        self.biases |= names
        self.additive |= names
        site = self.sites[index]
        value = _NO_MOMENTS if self._rare_only else reductions.moments(out, self.batch)
        self.sites[index] = replace(site, value=value, bias=self._parameter(names, (0, 0)))
        # what is added to may have been moved: a convolution's channels may be on the last axis by now
        sources = [self.origins.of(arg) for arg in args[:2]]
        axis = next(s.axis for s in sources if s is not None and s.site == index)
        self.origins.remember(out, Origin(index, axis), in_place=in_place)

    def _elementwise(
        self,
        op: str,
        args: Any,
        kwargs: Any,
        reads: tuple[int, ...],
        outputs: list[Tensor],
        in_place: bool,
        before: PreActivations,
        source: Origin | None,
    ) -> None:
        name = ops.activation_of(op, args, kwargs)
        saturated, read = before.saturated, before.histogram
        if name is None and (whole := self._chains.completed(op, args, reads, outputs[0])) is not None:
            name, reads = whole.name, whole.reads
            if name is not None and not self._rare_only:
                saturated = saturated_share(name, outputs[0])
            read = self._read_by_parts(whole) if name is not None else None
            for part in whole.parts:
                self.sites[part] = replace(
                    self.sites[part], activation=None, saturated=None, dead=None, pre_activations=None
                )
        kind = "activation" if name is not None else kind_of(op, reads, self.sites)
        self._take_roles(op, kind, args)
        if not self._rare_only and kind in ("softmax", "attention"):
            saturated = self._one_hot(op, args, kwargs, outputs[0])
        index = self._append(
            self._stack.place(name or ops.shown(op)),
            kind,
            name.partition("(")[0] if name else ops.shown(op),
            reads,
            outputs[0],
            self._axis(outputs[0], source),
            activation_name=name,
            saturated=saturated,
            pre_activations=read,
            in_place=in_place,
        )
        self._chains.joined(index, op, args, reads)
        if name in ("sigmoid", "tanh", "log_sigmoid") or kind == "softmax":
            self._keep_logits(index, args[0], in_place)
        if op in ops.RECURRENT:
            self.unobserved.append((self.sites[index].name, f"{op} runs fused: its gates are not seen"))
        elif op.startswith("quantized::"):
            self.unobserved.append((self.sites[index].name, "quantised: its weights are not seen"))
        elif "::" in op:
            self.unobserved.append((self.sites[index].name, f"{op} is one operation: not seen inside"))
        for extra in outputs[1:]:
            if extra.is_floating_point():
                self.origins.remember(extra, Origin(index))

    def _read_by_parts(self, whole: Composed) -> Histogram | None:
        """Return what a chain's first part read, such as the sigmoid of x * sigmoid(x): its root."""
        parts = (self.sites[part] for part in sorted(whole.parts))
        return next((part.pre_activations for part in parts if part.reads == whole.reads), None)

    def _one_hot(self, op: str, args: Any, kwargs: Any, out: Tensor) -> float | None:
        if op in ops.ATTENTION:
            return attention_share(args, kwargs)
        return None if "log" in op else softmax_share(args[0], out, args[1])

    def _glu(self, args: Any, reads: tuple[int, ...], out: Tensor) -> None:
        """A gated linear unit is one operation here: its gate is shown as the sigmoid that it is."""
        gate = torch.chunk(args[0], 2, args[1] if len(args) > 1 else -1)[1]
        axis = self._axis(out, self.origins.of(args[0]))
        before = self._read_by("sigmoid", gate)
        index = self._append(
            self._stack.place("sigmoid"),
            "activation",
            "sigmoid",
            reads,
            torch.sigmoid(gate.detach()),
            axis,
            activation_name="sigmoid",
            saturated=before.saturated,
            pre_activations=before.histogram,
        )
        self._append(self._stack.place("glu"), "mul", "glu", (*reads, index), out, axis)

    def _keep_logits(self, index: int, tensor: Tensor, in_place: bool) -> None:
        """Keep the input of the latest squashing ops: one of them may turn out to be the logits."""
        if in_place or not tensor.requires_grad:
            return
        self.squashed[index] = tensor
        if len(self.squashed) > 4:
            self.squashed.pop(next(iter(self.squashed)))

    def _take_roles(self, op: str, kind: str, args: Any) -> None:
        """A parameter that is only ever added, concatenated or a bias is not multiplicative."""
        bias_at = ops.NORMS.get(op)
        for position, argument in enumerate(args):
            names = frozenset().union(*(self.origins.parameters(t) for t in tensors_in((argument,))))
            if not names:
                continue
            if position == bias_at:
                self.biases |= names
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
        pre_activations: Histogram | None = None,
        weight: Parameter | None = None,
        bias: Parameter | None = None,
        coverage: float = 1.0,
        in_place: bool = False,
    ) -> int:
        index = len(self.sites)
        if value is None:
            value = _NO_MOMENTS if self._rare_only else reductions.moments(out, self.batch)
        dead: float | None = None
        if activation_name is not None and activation(activation_name).inactive_below is not None:
            if self._rare_only:
                self.wholly_dead |= reductions.wholly_zero(out)
            else:
                positive = activation_name in ops.NON_NEGATIVE
                inactive, rectifiers = reductions.dead_units(out, axis, non_negative=positive)
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
                pre_activations=pre_activations,
            )
        )
        if self.site_gradients is not None:
            self.site_gradients.add(index, out)
        self.origins.remember(out, Origin(index, axis), in_place=in_place)
        return index
