"""The JSON report, schema version 1: the contract for other tools.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest_initcheck
from pytest_initcheck.report.course import WHOLE, Course
from pytest_initcheck.report.files import write_whole
from pytest_initcheck.report.result import Report
from pytest_initcheck.sequential import claim_error_bound

SCHEMA_VERSION = 1


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the document, for validators and code generators.

    >>> schema()["properties"]["schema_version"]["const"]
    1
    """
    text = resources.files("pytest_initcheck.report").joinpath("schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def document(
    reports: Iterable[Report], *, root_seed: int, claims: int, course: Course = WHOLE
) -> dict[str, Any]:
    """Return the report of a run as JSON-able values, models ordered by id and example.

    * ``claims`` is how many claims the run evaluated, those of examples that are not listed included.
    * ``course`` says whether all of the run is in it.

    >>> document([], root_seed=0, claims=0)["schema_version"]
    1
    """
    ordered = sorted(reports, key=lambda report: (report.id, report.example or ""))
    # what else the process had imported says nothing about these models
    frameworks = {
        name: version
        for report in ordered
        for name, version in report.frameworks.items()
        if name == report.framework
    }
    found: dict[str, Any] = finite(
        {
            "schema_version": SCHEMA_VERSION,
            "pytest_initcheck": pytest_initcheck.__version__,
            "python": platform.python_version(),
            "frameworks": dict(sorted(frameworks.items())),
            "root_seed": root_seed,
            "claims": claims,
            "error_bound": claims * claim_error_bound(),
            **course.to_dict(),
            "models": [_model(report) for report in ordered],
        }
    )
    return found


def _model(report: Report) -> dict[str, Any]:
    """Return a model's entry; a site whose statistics overflowed is not finite either."""
    found = report.to_dict()
    for row, data in zip(report.sites, found["sites"], strict=True):
        data["non_finite"] = not row.is_finite
    return found


def finite(value: Any) -> Any:
    """Return the value with every NaN and infinity replaced by None, for JSON has none.

    >>> finite({"value": float("inf"), "limit": [None, 46.0]})
    {'value': None, 'limit': [None, 46.0]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if _not_finite(value) else value


def _not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the document as UTF-8 text.

    Raises OSError if the file cannot be written.
    """
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
