"""Are models with a known verdict told apart? tests/corpus: publicly reported bugs, and good models.

    python benchmarks/corpus.py [--reported] [--seeds 0 1 2] [--only NAME ...]
                                [--needs none|torchvision|timm|transformers ...]

A row per case: verdict, what failed and in which direction, initialisations drawn and seconds for each
root seed. With --reported: the bugs of tests/corpus/reported.py and their repaired twins. Cases that
need a library are run where it is installed. Exits with 1 unless every bad case fails for a reason that
is its own and no good case fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest_initcheck as ic

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "corpus"))
from expectations import LOSSES, inputs_of, is_right, load_cases, load_reported

LIBRARIES = ("torchvision", "timm", "transformers")


def chosen(options: argparse.Namespace) -> list[Any]:
    """Return the cases that were asked for and can be run here."""
    found = []
    for case in load_reported() if options.reported else load_cases():
        wanted = options.only is None or case.name in options.only
        if options.needs is not None:
            wanted = wanted and bool(set(case.needs or ("none",)) & set(options.needs))
        missing = [name for name in case.needs if importlib.util.find_spec(name) is None]
        if wanted and missing:
            print(f"left out: {case.name} needs {', '.join(missing)}")
        elif wanted:
            found.append(case)
    return found


def row(case: Any, seed: int) -> bool:
    """Judge a case under one root seed, print its row, and return whether the verdict is right."""
    report = ic.check(
        case.factory,
        inputs=inputs_of(case),
        id=case.name,
        mode=case.mode,
        seed=seed,
        loss=LOSSES.get(case.name),
        try_fixes=False,
    )
    right = is_right(case, report)
    failed = [f"{f.invariant} {f.direction}" if f.direction else f.invariant for f in report.failures]
    what = report.error or ", ".join(failed)
    mark = "" if right else "   WRONG, expected " + (", ".join(sorted(case.expect)) or "no failure")
    print(
        f"{case.verdict:4} {case.name:40} {seed:3} {report.verdict:12} {report.seeds:4} "
        f"{report.seconds:6.1f} s  {what}{mark}",
        flush=True,
    )
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--reported", action="store_true", help="tests/corpus/reported.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--needs", nargs="+", choices=("none", *LIBRARIES))
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    names = [case.name for case in (load_reported() if options.reported else load_cases())]
    unknown = sorted(set(options.only or ()) - set(names))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; known: {', '.join(names)}")
    print(f"{'':4} {'case':40} {'seed':>3} {'verdict':11} {'inits':>4} {'time':>7}   failed")
    right: dict[str, list[bool]] = {"bad": [], "good": []}
    for case in chosen(options):
        right[case.verdict] += [row(case, seed) for seed in options.seeds]
    bad, good = right["bad"], right["good"]
    print(f"bad: {sum(bad)} of {len(bad)} fail for an expected reason")
    print(f"good: {len(good) - sum(good)} of {len(good)} fail")
    return 0 if all((*bad, *good)) else 1


if __name__ == "__main__":
    sys.exit(main())
