"""Reports to look at: real ones of numpy models, and made ones for names and sizes."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np

import pytest_initcheck as ic
from pytest_initcheck.report import html
from pytest_initcheck.report.result import Fix, PreActivations, Report, SiteRow


def network(rng: np.random.Generator, activation: str, gain: float) -> list[tuple]:
    hidden = [(rng.normal(0, gain / 8, (64, 64)), np.zeros(64), activation) for _ in range(12)]
    return [*hidden, (rng.normal(0, 0.1, (64, 4)), None, None)]


@cache
def vanishing() -> Report:
    """A ReLU network under torch's default gain, with a fix that was tried."""
    report = ic.check(
        lambda rng: network(rng, "relu", 3**-0.5), inputs=ic.normal(64), id="models.py::vanishing"
    )
    finding, *others = report.findings
    fix = Fix("draw them with gain sqrt(2)", "init(w)", helped=True, result="passes", curve=(1.0,) * 26)
    finding = dataclasses.replace(finding, fixes=(fix,))
    return dataclasses.replace(report, findings=(finding, *others))


@cache
def good() -> Report:
    return ic.check(lambda rng: network(rng, "tanh", 1.0), inputs=ic.normal(64), id="models.py::good")


def broken() -> Report:
    return Report(
        "models.py::broken", None, "error", 0, error="it raised <no>", error_traceback="File 1"
    )


def undecided() -> Report:
    return dataclasses.replace(good(), id="models.py::undecided", verdict="inconclusive")


def four() -> str:
    """A page of four models, shown closed."""
    return page(vanishing(), good(), broken(), undecided())


def named(text: str) -> Report:
    """A report in which everything that a model can name bears this name."""
    (finding,) = vanishing().findings[:1]
    finding = dataclasses.replace(
        finding,
        site=text,
        place=text,
        message=text,
        cause=text,
        kind=text,
        costs=text,
        detail=text,
        proof=text,
        fixes=(Fix(text, text, helped=False, result=text),),
    )
    return dataclasses.replace(
        vanishing(),
        id=text,
        example=text,
        findings=(finding,),
        sites=tuple(dataclasses.replace(row, name=text, op=text) for row in vanishing().sites),
        notes=(text,),
        unobserved=(text,),
        inputs=text,
    )


def deep(sites: int) -> Report:
    """A made residual network of so many sites, with histograms, that grows with depth."""
    rows = []
    for index in range(sites):
        kind = ("input", "linear", "norm", "activation", "add")[0 if not index else 1 + index % 4]
        rows.append(
            SiteRow(
                f"encoder.blocks.{index // 4}.part.{kind}.{index}",
                kind,
                10.0 ** (index / 500),
                10.0 ** (index / 700),
                dead=0.5 if kind == "activation" else None,
                kind=kind,
                index=index,
                reads=(index - 1, index - 4) if kind == "add" else (index - 1,) if index else (),
                gradient=10.0 ** (-index / 300),
                expected=(0.5, 2.0 * 10 ** (index / 500)) if kind == "linear" else None,
                spread=(0.1, 10.0 ** (index / 400)),
                pre_activations=(
                    PreActivations(tuple(range(48)), -3.0, 3.0, 0.0) if kind == "activation" else None
                ),
                first_wrong=index == sites // 2,
            )
        )
    return Report(
        f"zoo.py::deep{sites}", "torch", "fail", 0, sites=tuple(rows), findings=vanishing().findings
    )


def page(*reports: Report) -> str:
    return html.page(reports, root_seed=0, claims=12)
