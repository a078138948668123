"""The report as SARIF 2.1.0, which code scanning reads: a rule per invariant, a result per finding.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import pytest_initcheck
from pytest_initcheck.config import DRIFT, DRIFT_ASSERTS, INVARIANTS
from pytest_initcheck.report.course import WHOLE, Course
from pytest_initcheck.report.json import finite
from pytest_initcheck.report.message import message
from pytest_initcheck.report.prose import clipped, plain
from pytest_initcheck.report.result import Finding, Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ERROR_RULE = "error"
"""The rule of models that could not be judged."""
FINGERPRINT = "initcheck/v1"
_ROOT = "%SRCROOT%"
_LEVELS = {"error": "error", "warning": "warning", "known": "note"}
_LONGEST_DESCRIPTION = 1024
"""What GitHub takes of a description."""


@dataclass(frozen=True)
class Help:
    """What there is to read about a rule: its description, and all of it as text and as Markdown."""

    full: str
    text: str
    markdown: str


_ERROR_TEXT = (
    "The factory raised, or what it returned could not be observed: nothing was decided about this "
    "model. The message says why and what to change."
)
_ERROR_HELP = Help(_ERROR_TEXT, _ERROR_TEXT, _ERROR_TEXT)


def document(
    reports: Iterable[Report],
    *,
    root_seed: int,
    course: Course = WHOLE,
    helps: Mapping[str, Help] | None = None,
    fallback: str = "",
) -> dict[str, Any]:
    """Return the log of a run as JSON-able values, results ordered by model and example.

    * ``helps`` is what there is to read about an invariant, by its name.
    * ``fallback`` is a file, relative to the root, for models that no file of the project builds.

    >>> log = document([Report("m", None, "error", 0, error="the factory raised OSError")], root_seed=0)
    >>> log["runs"][0]["results"][0]["message"]
    {'text': 'ERROR m  the factory raised OSError'}
    """
    rules = list(_rules(helps or {}))
    index = {rule["id"]: at for at, rule in enumerate(rules)}
    results = list(_results(reports, index, fallback))
    if any("suppressions" in result for result in results):
        # the standard wants them for all results or for none
        for result in results:
            result.setdefault("suppressions", [])
    run = {
        "tool": {
            "driver": {
                "name": "pytest-initcheck",
                "version": pytest_initcheck.__version__,
                "rules": rules,
            }
        },
        "invocations": [_invocation(course)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "the root folder of the run"}}},
        "results": results,
        "properties": {"rootSeed": root_seed},
    }
    found: dict[str, Any] = finite({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})
    return found


def _invocation(course: Course) -> dict[str, Any]:
    found: dict[str, Any] = {"executionSuccessful": course.complete}
    if not course.complete:
        notification = {"level": "error", "message": {"text": _text(plain(course.sentence))}}
        found["toolExecutionNotifications"] = [notification]
    return found


def _rules(helps: Mapping[str, Help]) -> Iterator[dict[str, Any]]:
    for row in INVARIANTS:
        yield _rule(row.name, row.asserts, helps.get(row.name, Help(row.asserts, row.asserts, "")))
    drifts = Help(DRIFT_ASSERTS, DRIFT_ASSERTS, "")
    yield _rule(DRIFT, DRIFT_ASSERTS, helps.get(DRIFT, drifts))
    yield _rule(ERROR_RULE, "the model could not be judged", _ERROR_HELP)


def _rule(id: str, short: str, help: Help) -> dict[str, Any]:
    shown = {"text": _text(help.text)}
    if help.markdown:
        shown["markdown"] = help.markdown
    return {
        "id": id,
        "shortDescription": {"text": _text(short)},
        "fullDescription": {"text": clipped(_text(help.full), _LONGEST_DESCRIPTION)},
        "help": shown,
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["initialization", "neural-network"], "precision": "very-high"},
    }


def _results(
    reports: Iterable[Report], rules: Mapping[str, int], fallback: str
) -> Iterator[dict[str, Any]]:
    taken: Counter[str] = Counter()
    for report in sorted(reports, key=lambda each: (each.id, each.example or "")):
        findings = report.findings if report.error is None else (None,)
        for finding in findings:
            key = _identity(report, finding)
            yield _result(report, finding, rules, fallback) | {
                "partialFingerprints": {FINGERPRINT: _fingerprint(key, taken[key])}
            }
            taken[key] += 1


def _result(
    report: Report, finding: Finding | None, rules: Mapping[str, int], fallback: str
) -> dict[str, Any]:
    rule = ERROR_RULE if finding is None else finding.invariant
    found: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": rules[rule],
        "level": "error" if finding is None else _LEVELS[finding.severity],
        "message": {"text": _text(message(report, finding))},
        "locations": [_location(report, finding, fallback)],
    }
    if finding is None:
        return found
    if finding.severity == "known":
        reason = plain(finding.reason) or "kept as known"
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    found["properties"] = {
        "cause": plain(finding.kind),
        "direction": finding.direction,
        "value": finding.value,
        "limit": list(finding.limit),
        "also": list(finding.also),
    }
    return found


def _identity(report: Report, finding: Finding | None) -> str:
    """Return what makes a finding the same one in another run, whatever its figures are then."""
    parts: list[str | None] = [report.id, report.example]
    parts += [ERROR_RULE] if finding is None else [finding.invariant, finding.site, finding.direction]
    return json.dumps(parts)


def _fingerprint(identity: str, index: int) -> str:
    text = f"{identity} {index}" if index else identity
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _location(report: Report, finding: Finding | None, fallback: str) -> dict[str, Any]:
    logical = [
        {
            "name": plain(report.id.rpartition("::")[2]),
            "fullyQualifiedName": plain(report.id),
            "kind": "model",
        }
    ]
    if finding is not None and finding.site is not None:
        site = plain(finding.site)
        logical.append(
            {"name": site, "fullyQualifiedName": f"{plain(report.id)}::{site}", "kind": "site"}
        )
    found: dict[str, Any] = {"logicalLocations": logical}
    path, line = (report.path, report.line) if report.path else (fallback, 1)
    if path:
        found["physicalLocation"] = {
            "artifactLocation": artifact(path),
            "region": {"startLine": max(line, 1)},
        }
    return found


def artifact(path: str) -> dict[str, str]:
    """Return the location of a file: from the root of the run, or of the machine where it lies outside.

    >>> artifact("tests/a b.py")
    {'uri': 'tests/a%20b.py', 'uriBaseId': '%SRCROOT%'}
    """
    found = PurePath(path)
    # a name that is no text, which no encoder takes otherwise
    uri = quote(found.as_posix(), safe="/", errors="surrogatepass")
    if found.is_absolute():
        return {"uri": f"file:///{uri.lstrip('/')}"}
    return {"uri": uri, "uriBaseId": _ROOT}


def _text(text: str) -> str:
    """Escape what SARIF reads as a link; placeholders are read only where there are arguments."""
    return re.sub(r"[\\\[\]]", r"\\\g<0>", text)
