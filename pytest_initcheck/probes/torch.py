"""The torch probe: seeds, forward and backward on a model that is left as it was found.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal, Tokens
from pytest_initcheck.libraries import inputs_of
from pytest_initcheck.probes import global_generators
from pytest_initcheck.probes import torch_passes as passes
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.dead_ends import without_dead_ends
from pytest_initcheck.probes.folding import Whole, folded
from pytest_initcheck.probes.torch_dropout import MeanMasks
from pytest_initcheck.probes.torch_eager import backward_error, observable, step_by_step
from pytest_initcheck.probes.torch_gradients import SiteGradients, gradients
from pytest_initcheck.probes.torch_inputs import (
    batch_of,
    input_tensors,
    prepared,
    samples_differ,
    time_first,
    unfit,
)
from pytest_initcheck.probes.torch_lazy import drawn as lazily_drawn
from pytest_initcheck.probes.torch_lazy import lazy_names
from pytest_initcheck.probes.torch_modules import ModuleStack, NamedParts
from pytest_initcheck.probes.torch_outputs import (
    has_samples,
    logits_of,
    output_tensors,
    outputs_of,
    site_of,
)
from pytest_initcheck.probes.torch_parameters import describe, fingerprint, named_parameters
from pytest_initcheck.probes.torch_recorder import Recorder
from pytest_initcheck.probes.torch_settings import preserved as preserved
from pytest_initcheck.probes.torch_spelling import apply as make_edits
from pytest_initcheck.probes.torch_spelling import path_of
from pytest_initcheck.probes.torch_spelling import spell as spell
from pytest_initcheck.probes.torch_state import Kept, threads_for, undisturbed
from pytest_initcheck.probes.torch_unseen import aliases, unseen
from pytest_initcheck.trace import (
    CHAOTIC,
    NOTHING_MORE,
    Fingerprint,
    Glimpse,
    Parameter,
    Sensitivity,
    Site,
    Trace,
    Training,
    Wanted,
)

FRAMEWORK = "torch"


def owns(model: Any) -> bool:
    return isinstance(model, nn.Module)


def seed(seed: int) -> None:
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:
        # without a device torch.manual_seed only queues the call, once more each time
        torch.default_generator.manual_seed(seed)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return threads_for(observable(model), call)


def drawn(model: Any, call: Callable[[], Call], *, seed: int, keep: bool) -> Any:
    module = observable(model)
    if not lazy_names(module):
        return model
    torch.default_generator.manual_seed(seed)
    return lazily_drawn(module, call(), keep=keep)


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    module = observable(model)
    if names := lazy_names(module):
        raise ModelError(f"{names[0]} is lazy and has no shape yet; run a forward pass in the factory")
    return tuple(fingerprint(name, p) for name, p in named_parameters(module).items())


def infer_inputs(model: Any) -> Distribution | Call:
    module = observable(model)
    example = getattr(module, "example_inputs", None)
    if callable(example):
        value = example()
        return Call(tuple(value), {}) if isinstance(value, (tuple, list)) else Call((value,), {})
    known = inputs_of(module)
    if known is not None:
        return known
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer.in_features:  # a lazy one has none yet
            return Normal((layer.in_features,))
        if isinstance(layer, nn.Embedding):
            return Tokens((16,), layer.num_embeddings)
        if isinstance(layer, (nn.RNNBase, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            break
    raise ModelError(
        "the inputs cannot be inferred from the first layer; pass inputs=ic.normal(...), "
        "give the model an example_inputs() method, or use --initcheck-inputs normal:784"
    )


def apply(model: Any, edits: Sequence[Edit], call: Call | None = None) -> None:
    make_edits(observable(model), edits)


# -- one pass ------------------------------------------------------------------------------------


def _forward(module: nn.Module, call: Call, recorder: Recorder, stack: ModuleStack) -> Any:
    for name, tensor in input_tensors(call).items():
        recorder.add_input(name, tensor, units_last=_units_last(module))
    try:
        with stack.watching(), step_by_step(module), MeanMasks(), recorder:
            return module(*call.args, **call.kwargs)
    except ModelError:
        raise
    except Exception as error:
        raise unfit(error, call) from error


def _units_last(module: nn.Module) -> bool:
    return isinstance(module, NamedParts) and module.units_last


def _seed_pass(value: int) -> None:
    seed(value)
    global_generators.seed(value)


def _path(module: nn.Module, name: str) -> str:
    return module.path_of(name) if isinstance(module, NamedParts) else path_of(module, name)


@dataclass(frozen=True)
class _Pass:
    """One recorded forward pass: what was called, what was seen, what was returned."""

    call: Call
    stack: ModuleStack
    recorder: Recorder
    outputs: list[Tensor]
    tensors: Mapping[str, Tensor]
    described: Mapping[str, Parameter]


def _record(
    module: nn.Module, call: Call, kept: Kept, seed_value: int, wanted: Wanted, *, rare_only: bool
) -> _Pass:
    given = prepared(module, call)
    batch = batch_of(given)
    if batch == 0:
        raise ModelError("the inputs hold no samples; pass a batch with at least one")
    tensors = named_parameters(module)
    described = {}
    if not rare_only:
        tied = aliases(module)
        described = {
            n: dataclasses.replace(
                describe(n, t, tied.get(n, ()), kurtosis=wanted.kurtosis), path=_path(module, n)
            )
            for n, t in tensors.items()
        }
    while True:
        stack = ModuleStack(module)
        sites = SiteGradients(batch) if wanted.site_gradients else None
        recorder = Recorder(
            stack,
            tensors,
            described,
            batch,
            kept,
            rare_only=rare_only,
            histograms=wanted.histograms,
            site_gradients=sites,
        )
        _seed_pass(seed_value)
        outputs = outputs_of(_forward(module, given, recorder, stack))
        if not time_first(given, batch, stack.batch_seen):
            break
        # only now is it known that the samples are on the second axis
        batch = stack.batch_seen or batch
        given = prepared(module, call)
    if not rare_only:
        recorder.unobserved += unseen(module, tensors, stack.called, recorder.used)
    return _Pass(given, stack, recorder, outputs, tensors, described)


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    try:
        return _glimpse(model, call, mode, seed, grad=False)
    except ModelError:
        # some models differentiate in their forward pass, and need the graph that it saves to go without
        return _glimpse(model, call, mode, seed, grad=True)


def _glimpse(model: Any, call: Call, mode: str, seed: int, *, grad: bool) -> Glimpse:
    module = observable(model)
    with undisturbed(module, mode) as kept, torch.set_grad_enabled(grad):
        seen = _record(module, call, kept, seed, NOTHING_MORE, rare_only=True)
        output = seen.outputs[0].detach()
        length = reductions.mean_square(output)
        finite = math.isfinite(length) and all(
            bool(torch.isfinite(parameter.detach().sum())) for parameter in module.parameters()
        )
        varies = len(output) < 2 or any(not torch.equal(sample, output[0]) for sample in output[1:])
        return Glimpse(finite and varies and not seen.recorder.wholly_dead, length)


def trace(model: Any, call: Call, *, mode: str, seed: int, wanted: Wanted = NOTHING_MORE) -> Trace:
    module = observable(model)
    with undisturbed(module, mode) as kept, torch.enable_grad():
        seen = _record(module, call, kept, seed, wanted, rare_only=False)
        recorder = seen.recorder
        output = seen.outputs[0]
        out_site = site_of(recorder, output)
        returned = {
            site_of(recorder, each) for each in seen.outputs if has_samples(each, recorder.batch)
        }
        logits_site, logit_values = logits_of(recorder, out_site, output)
        unobserved = list(recorder.unobserved)
        found = None
        reason = _no_gradient_reason(logit_values, seen.call, recorder.batch)
        if reason is None:
            try:
                found = gradients(
                    logit_values,
                    {name: p for name, p in seen.tensors.items() if p.requires_grad},
                    recorder.multiplicative,
                    recorder.biases,
                    recorder.site_gradients,
                    seed,
                    -1 if logit_values.dim() < 4 or _units_last(module) else 1,
                )
            except RuntimeError as error:
                raise backward_error(error) from error
        else:
            unobserved.append(("gradient", reason))
        further = _Further(module, call, seed, seen.tensors, kept.put_buffers_back)
        noise = further.noise(output.detach()) if wanted.noise and recorder.batch > 1 else None
        trained = None
        if wanted.steps:
            moved = frozenset() if found is None or wanted.loss is not None else found.moved
            try:
                trained = further.training(recorder.used, moved, wanted.loss)
            except RuntimeError as error:
                raise backward_error(error) from error
    seen_whole = Trace(
        FRAMEWORK,
        recorder.batch,
        tuple(_finished(recorder)),
        tuple(recorder.inputs),
        _with_roles(seen, {} if found is None else found.by_difference),
        out_site,
        logits_site,
        None if found is None else found.evidence,
        tuple(unobserved),
        tuple(sorted(returned - {-1})),
        noise,
        trained,
    )
    return without_dead_ends(folded(seen_whole, _wholes(seen)))


def _wholes(seen: _Pass) -> Iterator[Whole]:
    """Yield the parts of the model that are one operation, by the sites inside them."""
    for name, op, start, output in seen.stack.wholes:
        ends = [site_of(seen.recorder, tensor) for tensor in output_tensors(output)]
        if ends and ends[0] >= start:
            yield Whole(name, op, start, ends[0])


def _finished(recorder: Recorder) -> Iterator[Site]:
    """Yield the sites with what is known of them only after the pass."""
    known = {} if recorder.site_gradients is None else recorder.site_gradients.moments
    for site in recorder.sites:
        # U h of a recurrence is added alone while h is still zero: U is no bias for that
        wrong = site.bias is not None and site.bias.name in recorder.multiplicative
        bias = None if wrong else site.bias
        yield dataclasses.replace(site, gradient=known.get(site.index), bias=bias)


def _with_roles(seen: _Pass, squared: Mapping[str, float]) -> tuple[Parameter, ...]:
    return tuple(
        dataclasses.replace(
            parameter,
            multiplicative=name in seen.recorder.multiplicative,
            used=name in seen.recorder.used,
            gradient=squared.get(name, math.nan),
        )
        for name, parameter in seen.described.items()
    )


@dataclass(frozen=True)
class _Further:
    """Runs the model again as in its first pass: the same inputs, seed and buffers.

    ``call`` is what the engine drew: the first pass may have written to its own copy.
    """

    module: nn.Module
    call: Call
    seed: int
    tensors: Mapping[str, Tensor]
    reset: Callable[[], None]

    def __call__(self, mode: passes.Calm) -> Any:
        self.reset()
        call = prepared(self.module, self.call)
        mode.watch(input_tensors(call), self.tensors)
        _seed_pass(self.seed)
        with step_by_step(self.module), MeanMasks(), mode:
            return self.module(*call.args, **call.kwargs)

    def noise(self, output: Tensor) -> Sensitivity | None:
        return passes.sensitivity(self, output, self.seed, CHAOTIC)

    def training(
        self, used: set[str], moved: frozenset[str], loss: Callable[..., Any] | None
    ) -> Training:
        judged = {n: p for n, p in self.tensors.items() if p.requires_grad and n in used}
        inputs = prepared(self.module, self.call)
        return passes.training(self, inputs, judged, moved & set(judged), loss, self.seed)


def _no_gradient_reason(logits: Tensor, call: Call, batch: int) -> str | None:
    if not logits.requires_grad:
        return "the output does not depend on a trainable parameter through autograd"
    if logits.shape[0] != batch:
        return "the output has no batch axis"
    if batch < 8:
        return "fewer than 8 samples: differences between inputs cannot be judged"
    if not samples_differ(call, batch):
        return "all samples are equal: differences between inputs cannot be judged"
    return None
