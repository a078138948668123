"""The engine: ``check`` and ``judge``.  No pytest, no Hypothesis.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pytest_initcheck.config import resolve
from pytest_initcheck.declare import Allow, Declared
from pytest_initcheck.errors import ConfigError, ModelError
from pytest_initcheck.factory import canonical, preserved_global_states
from pytest_initcheck.inputs import DEFAULT_BATCH
from pytest_initcheck.replicates import evidence_of
from pytest_initcheck.report.result import Report
from pytest_initcheck.subject import Progress, Subject, Watch
from pytest_initcheck.summary import framework_versions, summed_up
from pytest_initcheck.trials import bench_for

__all__ = ["Progress", "Subject", "check", "judge"]


def check(
    factory: Any,
    *,
    inputs: Any = None,
    only: Iterable[str] | str | None = None,
    mode: str = "train",
    seed: int = 0,
    id: str | None = None,
    allow: Iterable[Allow] = (),
    ignore_sites: Iterable[str] | str = (),
    batch: int = DEFAULT_BATCH,
    strict: bool = False,
    loss: Callable[..., Any] | None = None,
    try_fixes: bool = True,
    **limits: float,
) -> Report:
    """Check a model factory and return the Report.

    * ``factory`` returns a freshly initialised model; it takes nothing, or one of ``rng`` (NumPy),
      ``generator`` (torch), ``key`` (JAX). A built model is accepted: facts decide, the rest is
      inconclusive.
    * ``inputs`` is a distribution, a batch, a loader, a function of ``rng`` or ``ic.call(...)``.
    * ``only`` names the invariants to check, besides ``finite``.
    * ``seed`` is the root of every derived seed.
    * ``loss`` makes one number of the model's output, and of its inputs if it takes two arguments; the
      gradient steps of ``trainable`` and ``symmetry`` go down it instead of a random linear loss.
    * ``try_fixes=False`` leaves the fixes of a failure untried, which saves judging each of them.
    * ``limits`` are keywords of the table: ``variance=10``, ``saturation=0.1``, ``dead_relu=0.2``.

    Raises ConfigError for an argument that cannot be used; a model that cannot be judged is a Report
    whose verdict is ``"error"``.

    >>> import pytest_initcheck as ic
    >>> def network(rng):
    ...     he = lambda n: rng.normal(0, (2 / n) ** 0.5, (n, 64))
    ...     return [(he(64), None, "relu"), (he(64), None, "relu"), (he(64), None, None)]
    >>> ic.check(network, inputs=ic.normal(64)).verdict
    'pass'
    """
    __tracebackhide__ = True
    if mode not in ("train", "eval"):
        raise ConfigError(f"mode is 'train' or 'eval', got {mode!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is a whole number from 0, got {seed!r}")
    wanted = None if only is None else tuple([only] if isinstance(only, str) else only)
    declared: Mapping[str, Any] = {}
    allows = tuple(allow)
    if loss is not None and not callable(loss):
        raise ConfigError(f"loss is a function of the model's output, got {loss!r}")
    globs = (ignore_sites,) if isinstance(ignore_sites, str) else tuple(ignore_sites)
    if isinstance(factory, Declared):
        declaration = factory.usable()
        loss = loss or declaration.loss
        inputs = declaration.inputs if inputs is None else inputs
        wanted = wanted or declaration.only or None
        declared, allows = declaration.limits, (*allows, *declaration.allows)
        globs = (*globs, *declaration.ignore_sites)
        mode = declaration.mode if mode == "train" else mode
        factory = factory.factory
    return judge(
        Subject(
            factory=factory,
            id=id or str(getattr(factory, "__qualname__", type(factory).__qualname__)),
            inputs=inputs,
            only=wanted,
            limits=resolve(("call", limits), ("decorator", declared)),
            mode=mode,
            root_seed=seed,
            batch=batch,
            allows=allows,
            ignore_sites=globs,
            strict=strict,
            loss=loss,
            plots=True,
            tries=try_fixes,
        )
    )


def judge(subject: Subject, watch: Watch | None = None) -> Report:
    """Return the Report on one model; a model that cannot be judged has the verdict ``"error"``.

    * ``watch`` is called before each initialisation, with how far the check has come.

    Global random states are as they were afterwards, and so is a model that was passed in.
    """
    __tracebackhide__ = True
    started = time.perf_counter()
    subject.invariants  # noqa: B018  # an unknown name raises
    try:
        with preserved_global_states():
            evidence = evidence_of(subject, watch)
            report = summed_up(subject, evidence, bench_for(subject, evidence, watch))
    except ModelError as error:
        report = Report(
            id=subject.id,
            framework=None,
            verdict="error",
            root_seed=subject.root_seed,
            error=str(error),
            error_traceback=error.traceback_text,
            example=canonical(subject.example) or None,
            strict=subject.strict,
            frameworks=framework_versions(),
        )
    return replace(report, seconds=time.perf_counter() - started)
