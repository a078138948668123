"""Place, cause and tried fix of every bad model whose cause is known.

    python benchmarks/diagnosis.py            # the 14 bad cases of the corpus, examples/broken
    python benchmarks/diagnosis.py --seeds 3  # with three root seeds
    python benchmarks/diagnosis.py --reported # and the reported bugs, not graded

Prints a row per model and seed, then how many places and causes are right and how many fixes pass.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest_initcheck as ic

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Subject:
    name: str
    factory: Any
    inputs: Any
    expected: Any
    loss: Any = None


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"diagnosed_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def subjects(*, reported: bool) -> Iterator[Subject]:
    expectations = load(ROOT / "tests" / "corpus" / "expectations.py")
    known = load(ROOT / "tests" / "corpus" / "diagnoses.py")
    for case in expectations.load_cases():
        if case.verdict == "bad":
            inputs = expectations.inputs_of(case)
            yield Subject(case.name, case.factory, inputs, known.CORPUS[case.name])
    for framework in ("torch", "numpy"):
        models = load(ROOT / "examples" / "broken" / f"{framework}_models.py")
        for name, expected in known.BROKEN.items():
            site = known.NUMPY_SITES.get(name, expected.site) if framework == "numpy" else expected.site
            graded = known.Diagnosis(site, expected.kind, expected.because)
            yield Subject(f"{framework}: {name}", getattr(models, name), None, graded)
    for case in expectations.load_reported() if reported else ():
        if case.verdict == "bad":
            inputs = expectations.inputs_of(case)
            loss = expectations.LOSSES.get(case.name)
            yield Subject(case.name, case.factory, inputs, None, loss)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--reported", action="store_true")
    asked = parser.parse_args()
    graded = right = passing = others = 0
    for subject in subjects(reported=asked.reported):
        for seed in range(asked.seeds):
            report = ic.check(
                subject.factory,
                inputs=subject.inputs,
                id=subject.name,
                seed=seed,
                loss=subject.loss,
            )
            others += len(report.failures) > 1
            mark = ""
            if subject.expected is not None:
                graded += 1
                first = report.failures[0] if report.failures else None
                found = None if first is None else (first.site, first.kind)
                is_right = found == (subject.expected.site, subject.expected.kind)
                right += is_right
                mark = "right" if is_right else f"WRONG, expected {subject.expected}"
                passing += any(fix.helped and fix.result.startswith("passes") for fix in report.fixes)
            print(f"{subject.name} (seed {seed}, {report.verdict}, {report.seconds:.1f} s) {mark}")
            for finding in report.failures:
                also = f", and {', '.join(finding.also)}" if finding.also else ""
                print(f"  {finding.invariant}{also} at {finding.site}: {finding.kind}: {finding.cause}")
                for fix in finding.fixes:
                    print(f"    fix  {fix.advice}")
                    for line in fix.code.splitlines():
                        print(f"         {line}")
                    print(f"         {'helps: ' if fix.helped else ''}{fix.result}", flush=True)
    print(f"place and cause right: {right} of {graded}; a tried fix passes: {passing} of {graded}")
    print(f"more than one cause told: {others}")
    return int(right < graded or passing * 14 < 12 * graded)


if __name__ == "__main__":
    sys.exit(main())
