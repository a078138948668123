"""The torch probe: state, seeds, forward and backward on a model that is left as it was found.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_initcheck.errors import ModelError
from pytest_initcheck.inputs import Call, Distribution, Normal, Tokens
from pytest_initcheck.libraries import inputs_of
from pytest_initcheck.probes import torch_reductions as reductions
from pytest_initcheck.probes.torch_inputs import (
    batch_of,
    columns,
    input_tensors,
    prepared,
    samples_differ,
)
from pytest_initcheck.probes.torch_modules import ModuleStack
from pytest_initcheck.probes.torch_recorder import Recorder
from pytest_initcheck.probes.torch_state import random_state as random_state
from pytest_initcheck.probes.torch_state import restore_random_state as restore_random_state
from pytest_initcheck.probes.torch_state import threads_for, undisturbed
from pytest_initcheck.probes.tracebacks import user_traceback
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


def _eager(model: Any) -> nn.Module:
    """Return the module to observe; a compiled one is observed through its original."""
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            "a scripted module hides its operations; pass the module before torch.jit.script"
        )
    if any(p.is_meta for p in model.parameters()):
        raise ModelError("the model is on the meta device and holds no numbers; build it on the CPU")
    return model  # type: ignore[no-any-return]  # _orig_mod is untyped


def workload(model: Any, call: Call) -> AbstractContextManager[None]:
    return threads_for(_eager(model), call)


def _named_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that hold numbers; quantised and index tensors are not initialised."""
    return {
        name: parameter
        for name, parameter in model.named_parameters(remove_duplicate=True)
        if parameter.is_floating_point() or parameter.is_complex()
    }


def fingerprints(model: Any) -> tuple[Fingerprint, ...]:
    module = _eager(model)
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ModelError(f"{name} is lazy and has no shape yet; run a forward pass in the factory")
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


def _describe(name: str, tensor: Tensor) -> Parameter:
    flat = reductions.plain(tensor).reshape(-1)
    count = flat.numel()
    if count == 0:
        return Parameter(name, tuple(tensor.shape), 0, 0.0, 0.0, True, 0)
    mean, second = float(flat.mean()), float(torch.dot(flat, flat)) / count
    # counting what is not finite is slow, and needed only where a sum shows it
    bad = 0 if math.isfinite(mean + second) else int((~torch.isfinite(flat)).sum())
    constant = bool(flat[0] == flat[-1]) and bool((flat == flat[0]).all())
    return Parameter(name, tuple(tensor.shape), count, mean, second, constant, bad)


def infer_inputs(model: Any) -> Distribution | Call:
    module = _eager(model)
    example = getattr(module, "example_inputs", None)
    if callable(example):
        value = example()
        return Call(tuple(value), {}) if isinstance(value, (tuple, list)) else Call((value,), {})
    known = inputs_of(module)
    if known is not None:
        return known
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
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


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Have compiled parts run eagerly; without the compiler loaded there are none."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        # the global hooks are ours, so their warning is not for the user
        warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
        yield


@contextmanager
def _unfused(module: nn.Module) -> Iterator[None]:
    """Have a CPU's LSTM run gate by gate: its fused kernel shows none of them."""
    if not any(isinstance(part, nn.LSTM) for part in module.modules()):
        yield
        return
    with warnings.catch_warnings():
        # reading the flag speaks of settings that are not ours
        warnings.filterwarnings("ignore", "TF32 acceleration", UserWarning)
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _forward(module: nn.Module, call: Call, recorder: Recorder, stack: ModuleStack) -> Any:
    for name, tensor in input_tensors(call).items():
        recorder.add_input(name, tensor)
    try:
        with stack.watching(), _uncompiled(), _unfused(module), recorder:
            return module(*call.args, **call.kwargs)
    except ModelError:
        raise
    except Exception as error:
        shapes = ", ".join(
            f"{name} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}"
            for name, t in input_tensors(call).items()
        )
        detail = str(error).strip().splitlines()
        first = detail[0] if detail else ""
        raise ModelError(
            f"the model raised {type(error).__name__} on {shapes or 'these inputs'}: {first}; "
            "pass inputs= of the shape and dtype that it takes",
            traceback_text=user_traceback(error),
        ) from error


def _output_tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif isinstance(value, Mapping):
        names = sorted(value, key=lambda key: key not in ("logits", "last_hidden_state"))
        for name in names:
            yield from _output_tensors(value[name])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _output_tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _output_tensors(getattr(value, item.name))


def _outputs(value: Any) -> list[Tensor]:
    """Return what the model put out, the main output first.

    Raises ModelError where there is nothing with a batch axis.
    """
    tensors = list(_output_tensors(value))
    found = [tensor for tensor in tensors if tensor.dim() > 0]
    if found:
        return found
    if tensors:
        raise ModelError(
            "the model returned a single number, a loss perhaps; wrap it so that it returns the output "
            "that the loss is computed from, with a batch axis"
        )
    kind = type(value).__name__
    raise ModelError(f"the model returned {kind} without a floating-point tensor; return its output")


def _record(
    model: Any, call: Call, mode: str, seed_value: int, *, rare_only: bool
) -> tuple[nn.Module, Call, Recorder, list[Tensor], dict[str, Parameter]]:
    module = _eager(model)
    call = prepared(module, call)
    if batch_of(call) == 0:
        raise ModelError("the inputs hold no samples; pass a batch with at least one")
    tensors = _named_parameters(module)
    described = {} if rare_only else {name: _describe(name, t) for name, t in tensors.items()}
    stack = ModuleStack(module)
    recorder = Recorder(stack, tensors, described, batch_of(call), rare_only=rare_only)
    seed(seed_value)
    outputs = _outputs(_forward(module, call, recorder, stack))
    return module, call, recorder, outputs, described


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
    with undisturbed(_eager(model), mode), torch.set_grad_enabled(grad):
        module, _, recorder, (output, *_), _ = _record(model, call, mode, seed, rare_only=True)
        finite = bool(torch.isfinite(output).all())
        for parameter in module.parameters():
            finite = finite and bool(torch.isfinite(parameter.detach().sum()))
        varies = output.shape[0] < 2 or bool((output != output[:1]).any())
        length = float((output.detach().abs().double() ** 2).mean())
        return Glimpse(finite and varies and not recorder.wholly_dead, length)


def trace(model: Any, call: Call, *, mode: str, seed: int) -> Trace:
    with undisturbed(_eager(model), mode), torch.enable_grad():
        module, call, recorder, outputs, described = _record(model, call, mode, seed, rare_only=False)
        output = outputs[0]
        out_site = _site_of(recorder, output)
        returned = {_site_of(recorder, each) for each in outputs if each.shape[0] == batch_of(call)}
        logits_site, logits = _logits(recorder, out_site, output)
        unobserved = list(recorder.unobserved)
        gradient = None
        reason = _no_gradient_reason(logits, call)
        if reason is None:
            gradient = _gradients(module, logits, recorder, seed)
        else:
            unobserved.append(("gradient", reason))
    parameters = tuple(
        dataclasses.replace(p, multiplicative=p.name in recorder.multiplicative)
        for p in described.values()
    )
    return Trace(
        FRAMEWORK,
        batch_of(call),
        tuple(recorder.sites),
        tuple(columns(name, tensor) for name, tensor in input_tensors(call).items()),
        parameters,
        out_site,
        logits_site,
        gradient,
        tuple(unobserved),
        tuple(sorted(returned - {-1})),
    )


def _site_of(recorder: Recorder, tensor: Tensor) -> int:
    origin = recorder.origin(tensor)
    return origin.site if origin is not None else -1


def _logits(recorder: Recorder, out_site: int, output: Tensor) -> tuple[int, Tensor]:
    """Return the input of a closing sigmoid, tanh or softmax, or the output itself."""
    tensor = recorder.squashed.get(out_site)
    if tensor is None:
        return out_site, output
    site = _site_of(recorder, tensor)
    return (site if site >= 0 else out_site), tensor


def _no_gradient_reason(logits: Tensor, call: Call) -> str | None:
    batch = batch_of(call)
    if not logits.requires_grad:
        return "the output does not depend on a trainable parameter through autograd"
    if logits.shape[0] != batch:
        return "the output has no batch axis"
    if batch < 8:
        return "fewer than 8 samples: differences between inputs cannot be judged"
    if not samples_differ(call):
        return "all samples are equal: differences between inputs cannot be judged"
    return None


def _gradients(module: nn.Module, logits: Tensor, recorder: Recorder, seed: int) -> GradientEvidence:
    """Two backward passes from the logits (principles.md R8)."""
    named = {n: p for n, p in _named_parameters(module).items() if p.requires_grad}
    draw = torch.Generator().manual_seed(seed)
    shape = logits.shape
    difference = torch.randn(shape, generator=draw).to(logits.device, torch.float32)
    difference -= difference.mean(0, keepdim=True)
    units = 1 if logits.dim() >= 4 else -1
    common = torch.zeros(shape, device=logits.device)
    direction = torch.randn(shape[units], generator=draw).to(logits.device)
    if logits.dim() > 1:
        common += direction.reshape(
            [-1 if axis == units % logits.dim() else 1 for axis in range(logits.dim())]
        )
        positions = logits.numel() // shape[units]
    else:
        common += 1.0
        positions = logits.numel()
    target = logits.real if logits.is_complex() else logits

    def squared_gradients(cotangent: Tensor, retain: bool) -> dict[str, float]:
        cotangent = (cotangent / torch.linalg.vector_norm(cotangent)).to(target.dtype)
        grads = torch.autograd.grad(
            target, list(named.values()), cotangent, retain_graph=retain, allow_unused=True
        )
        flat = [None if g is None else reductions.plain(g).reshape(-1) for g in grads]
        return {
            name: 0.0 if g is None else float(torch.dot(g, g))
            for name, g in zip(named, flat, strict=True)
        }

    by_difference = squared_gradients(difference, True)
    by_common = squared_gradients(common, False)
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
