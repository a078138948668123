"""The torch probe: state, seeds, forward and backward on a model that is left as it was found.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal, Tokens
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.torch_eager import backward_error, observable, step_by_step
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
from pytest_initcheck.probes.torch_modules import ModuleStack
from pytest_initcheck.probes.torch_noise import MeanMasks
from pytest_initcheck.probes.torch_outputs import has_samples, logits_of, outputs_of, site_of
from pytest_initcheck.probes.torch_recorder import Recorder
from pytest_initcheck.probes.torch_settings import preserved as preserved
from pytest_initcheck.probes.torch_state import Kept, threads_for, undisturbed
from pytest_initcheck.probes.torch_unseen import aliases, unseen
from pytest_initcheck.trace import (
    Fingerprint,
    Glimpse,
    GradientEvidence,
    Parameter,
    Trace,
)

FRAMEWORK = "torch"
_SAMPLED = 4096
_FEW_SAMPLED = 64
_MANY = 16


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


def _named_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that hold numbers; quantised and index tensors are not initialised."""
    return {
        name: parameter
        for name, parameter in model.named_parameters(remove_duplicate=True)
        if parameter.is_floating_point() or parameter.is_complex()
    }


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
    return tuple(_fingerprint(name, p) for name, p in _named_parameters(module).items())


def _fingerprint(name: str, parameter: Tensor) -> Fingerprint:
    flat = reductions.plain(parameter).reshape(-1).cpu()
    stride = max(1, flat.numel() // _SAMPLED)
    sample = flat[::stride].contiguous()
    digest = hashlib.blake2b(sample.numpy().tobytes(), digest_size=16)
    digest.update(np.float64(flat.sum(dtype=torch.float64)).tobytes())
    return Fingerprint(name, digest.hexdigest(), _draws_nothing(flat))


def _draws_nothing(flat: Tensor) -> bool:
    """Tell whether the entries have at most two values, as constants and identities do."""
    values = 2 if flat.numel() >= _MANY else 1  # two numbers are two values whatever drew them
    if flat.numel() == 0 or len(flat[:_FEW_SAMPLED].unique()) > values:
        return flat.numel() == 0
    return bool(((flat == flat.amin()) | (flat == flat.amax())).all())


def _describe(name: str, tensor: Tensor, tied: tuple[str, ...]) -> Parameter:
    flat = reductions.plain(tensor).reshape(-1)
    count = flat.numel()
    if count == 0:
        return Parameter(name, tuple(tensor.shape), 0, 0.0, 0.0, True, 0, aliases=tied)
    mean, second = float(flat.mean()), reductions.sum_of_squares(flat) / count
    # counting what is not finite is slow, and needed only where a sum shows it
    bad = 0 if math.isfinite(mean + second) else int((~torch.isfinite(flat)).sum())
    constant = bool(flat[0] == flat[-1]) and bool((flat == flat[0]).all())
    return Parameter(name, tuple(tensor.shape), count, mean, second, constant, bad, aliases=tied)


def infer_inputs(model: Any) -> Distribution | Call:
    module = observable(model)
    example = getattr(module, "example_inputs", None)
    if callable(example):
        value = example()
        return Call(tuple(value), {}) if isinstance(value, (tuple, list)) else Call((value,), {})
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


# -- one pass ------------------------------------------------------------------------------------


def _forward(module: nn.Module, call: Call, recorder: Recorder, stack: ModuleStack) -> Any:
    for name, tensor in input_tensors(call).items():
        recorder.add_input(name, tensor)
    try:
        with stack.watching(), step_by_step(module), MeanMasks(), recorder:
            return module(*call.args, **call.kwargs)
    except ModelError:
        raise
    except Exception as error:
        raise unfit(error, call) from error


def _record(
    model: Any, call: Call, kept: Kept, seed_value: int, *, rare_only: bool
) -> tuple[nn.Module, Call, Recorder, list[Tensor], dict[str, Parameter]]:
    module = observable(model)
    batch = batch_of(call)
    if batch == 0:
        raise ModelError("the inputs hold no samples; pass a batch with at least one")
    tensors = _named_parameters(module)
    tied = aliases(module)
    described = {} if rare_only else {n: _describe(n, t, tied.get(n, ())) for n, t in tensors.items()}
    while True:
        given = prepared(module, call)
        stack = ModuleStack(module)
        recorder = Recorder(stack, tensors, described, batch, kept, rare_only=rare_only)
        seed(seed_value)
        outputs = outputs_of(_forward(module, given, recorder, stack))
        if not time_first(call, batch, stack.batch_seen):
            break
        # only now is it known that the samples are on the second axis
        batch = stack.batch_seen or batch
    if not rare_only:
        recorder.unobserved += unseen(module, tensors, stack.called, recorder.used)
    return module, given, recorder, outputs, described


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


def glimpse(model: Any, call: Call, *, mode: str, seed: int) -> Glimpse:
    try:
        return _glimpse(model, call, mode, seed, grad=False)
    except ModelError:
        # some models differentiate in their forward pass, and need the graph that it saves to go without
        return _glimpse(model, call, mode, seed, grad=True)


def _glimpse(model: Any, call: Call, mode: str, seed: int, *, grad: bool) -> Glimpse:
    with undisturbed(observable(model), mode) as kept, torch.set_grad_enabled(grad):
        module, _, recorder, (output, *_), _ = _record(model, call, kept, seed, rare_only=True)
        output = output.detach()
        length = reductions.mean_square(output)
        finite = math.isfinite(length) and all(
            bool(torch.isfinite(parameter.detach().sum())) for parameter in module.parameters()
        )
        varies = len(output) < 2 or any(not torch.equal(sample, output[0]) for sample in output[1:])
        return Glimpse(finite and varies and not recorder.wholly_dead, length)


def trace(model: Any, call: Call, *, mode: str, seed: int) -> Trace:
    with undisturbed(observable(model), mode) as kept, torch.enable_grad():
        module, call, recorder, outputs, described = _record(model, call, kept, seed, rare_only=False)
        output = outputs[0]
        out_site = site_of(recorder, output)
        returned = {site_of(recorder, each) for each in outputs if has_samples(each, recorder.batch)}
        logits_site, logits = logits_of(recorder, out_site, output)
        unobserved = list(recorder.unobserved)
        gradient = None
        reason = _no_gradient_reason(logits, call, recorder.batch)
        if reason is None:
            try:
                gradient = _gradients(module, logits, recorder, seed)
            except RuntimeError as error:
                raise backward_error(error) from error
        else:
            unobserved.append(("gradient", reason))
    parameters = tuple(
        dataclasses.replace(p, multiplicative=p.name in recorder.multiplicative)
        for p in described.values()
    )
    return Trace(
        FRAMEWORK,
        recorder.batch,
        tuple(recorder.sites),
        tuple(recorder.inputs),
        parameters,
        out_site,
        logits_site,
        gradient,
        tuple(unobserved),
        tuple(sorted(returned - {-1})),
    )


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


def _gradients(module: nn.Module, logits: Tensor, recorder: Recorder, seed: int) -> GradientEvidence:
    """Two backward passes from the logits (principles.md R8)."""
    named = {n: p for n, p in _named_parameters(module).items() if p.requires_grad}
    draw = torch.Generator().manual_seed(seed)
    shape = logits.shape
    target = logits.real if logits.is_complex() else logits
    difference = torch.randn(shape, generator=draw).to(logits.device, torch.float32)
    difference -= difference.mean(0, keepdim=True)
    difference /= math.sqrt(reductions.sum_of_squares(difference.reshape(-1)))
    units = 1 if logits.dim() >= 4 else -1
    direction = torch.randn(shape[units], generator=draw).to(logits.device)
    positions = logits.numel() // shape[units] if logits.dim() > 1 else logits.numel()
    if logits.dim() == 1:
        direction = torch.ones(1, device=logits.device)
    direction /= math.sqrt(positions * reductions.sum_of_squares(direction))
    alone = [1] * logits.dim()
    alone[units] = -1

    def squared_gradients(cotangent: Tensor, retain: bool) -> dict[str, float]:
        squared = dict.fromkeys(named, 0.0)

        def reduced(name: str, gradient: Tensor) -> Tensor:
            squared[name] = reductions.sum_of_squares(reductions.plain(gradient).reshape(-1))
            # autograd collects what is returned: all gradients would be as large as the model
            return gradient.new_zeros(()).expand_as(gradient)

        hooks = [p.register_hook(functools.partial(reduced, name)) for name, p in named.items()]
        try:
            # a number, as a loss is: given a cotangent, torch loads sympy to compare two shapes
            readout = (target * cotangent).sum()
            torch.autograd.grad(readout, list(named.values()), retain_graph=retain, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
        return squared

    by_difference = squared_gradients(difference.to(target.dtype), True)
    del difference
    by_common = squared_gradients(direction.reshape(alone).expand(shape).to(target.dtype), False)
    matrices = {n: by_difference[n] for n in named if n in recorder.multiplicative}
    weights = [n for n in matrices if named[n].dim() > 1]
    bad = tuple(n for n in named if not math.isfinite(by_difference[n] + by_common[n]))
    return GradientEvidence(
        difference=sum(matrices.values()),
        common=sum(by_common.values()) / positions,
        live_matrices=sum(value > 0 for value in matrices.values()),
        matrices=len(matrices),
        non_finite=bad,
        first_over_last=_first_over_last(weights, by_difference, named),
    )


def _first_over_last(
    weights: list[str], squared: Mapping[str, float], named: Mapping[str, Tensor]
) -> float:
    """Return the ratio of the root mean squared gradients of the first and the last weight."""
    if len(weights) < 2:
        return math.nan
    first, last = (squared[n] / named[n].numel() for n in (weights[0], weights[-1]))
    return math.sqrt(first / last) if last > 0 else math.nan
