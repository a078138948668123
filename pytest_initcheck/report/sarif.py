"""The report as SARIF 2.1.0, which code hosts show as annotations of a change.  PYTEST_DONT_REWRITE"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import pytest_initcheck
from pytest_initcheck.report.course import WHOLE, Course
from pytest_initcheck.report.first_line import error_line, finding_line
from pytest_initcheck.report.prose import plain
from pytest_initcheck.report.result import Finding, Report

ERROR = "error"
"""The rule of models that could not be judged."""
_LEVELS = {"error": "error", "warning": "warning", "known": "note"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def document(
    reports: Iterable[Report],
    helps: Mapping[str, str],
    *,
    root_seed: int,
    course: Course = WHOLE,
    elsewhere: str = "",
) -> dict[str, Any]:
    """Return the report of a run as a SARIF log, results ordered by model and example.

    * ``helps`` has the text that explains each invariant, its first line complete in itself.
    * ``elsewhere`` is a file for models that stand in none of the user's files.

    >>> document([], {}, root_seed=0)["version"]
    '2.1.0'
    """
    ordered = sorted(reports, key=lambda report: (report.id, report.example or ""))
    names = [*helps, ERROR]
    results = [result for report in ordered for result in _results(report, names, elsewhere)]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pytest-initcheck",
                        "version": pytest_initcheck.__version__,
                        "semanticVersion": pytest_initcheck.__version__,
                        "rules": [_rule(name, text) for name, text in helps.items()]
                        + [_rule(ERROR, "a model could not be judged: what it says is in the message")],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": course.complete,
                        "properties": {"rootSeed": root_seed, "stopped": plain(course.stopped)},
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    "SRCROOT": {"description": {"text": "the root directory of the pytest run"}}
                },
                "results": _told_apart(results),
            }
        ],
    }


def _rule(name: str, text: str) -> dict[str, Any]:
    first = text.splitlines()[0]
    words = [part.capitalize() for part in name.split("-")]
    return {
        "id": name,
        "name": "".join(words),
        "shortDescription": {"text": first},
        "fullDescription": {"text": first},
        "help": {"text": text, "markdown": f"```text\n{text}\n```"},
        "defaultConfiguration": {"level": "error"},
    }


def _results(report: Report, names: list[str], elsewhere: str) -> list[dict[str, Any]]:
    if report.error is not None:
        found = _result(report, names, elsewhere, ERROR, None)
        return [{**found, "level": "error", "message": {"text": error_line(report)}}]
    results = []
    for finding in report.findings:
        found = _result(report, names, elsewhere, finding.invariant, finding)
        found["level"] = _LEVELS[finding.severity]
        found["message"] = {"text": _message(report, finding)}
        if finding.severity == "known":
            reason = {"kind": "external", "status": "accepted", "justification": plain(finding.reason)}
            found["suppressions"] = [reason]
        results.append(found)
    return results


def _result(
    report: Report, names: list[str], elsewhere: str, rule: str, finding: Finding | None
) -> dict[str, Any]:
    site = None if finding is None else finding.site
    logical = {"fullyQualifiedName": plain(report.id), "kind": "function"}
    if site:
        logical = {"name": plain(site), "fullyQualifiedName": f"{plain(report.id)}::{plain(site)}"}
    location: dict[str, Any] = {"logicalLocations": [logical]}
    path, line = (report.path, report.line) if report.path else (elsewhere, 1)
    if path:
        location["physicalLocation"] = {
            "artifactLocation": _artifact(path),
            "region": {"startLine": max(line, 1)},
        }
    return {
        "ruleId": rule,
        **({"ruleIndex": names.index(rule)} if rule in names else {}),
        "locations": [location],
        "partialFingerprints": {"initcheck/v1": _fingerprint(report, rule, finding)},
    }


def _artifact(path: str) -> dict[str, str]:
    if path.startswith("/"):
        return {"uri": f"file://{quote(path)}"}
    return {"uri": quote(path), "uriBaseId": "SRCROOT"}


def _fingerprint(report: Report, rule: str, finding: Finding | None) -> str:
    """Name a finding by what it is about: its figures, its line and its seed may change."""
    about = ("", "") if finding is None else (finding.site or "", finding.direction or "")
    text = "\0".join((report.id, report.example or "", rule, *about))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _told_apart(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number results that are about the same: a code host takes equal fingerprints for one."""
    seen: Counter[str] = Counter()
    found = []
    for result in results:
        print_ = result["partialFingerprints"]["initcheck/v1"]
        seen[print_] += 1
        own = print_ if seen[print_] == 1 else f"{print_}:{seen[print_]}"
        found.append({**result, "partialFingerprints": {"initcheck/v1": own}})
    return found


def _message(report: Report, finding: Finding) -> str:
    parts = [finding_line(report, finding)]
    for label, text in (
        ("at", finding.place),
        ("seen", finding.detail),
        ("cause", finding.cause),
        ("costs", finding.costs),
        ("fix", finding.fix),
        ("proof", finding.proof),
    ):
        if text:
            parts.append(f"{label}: " + "\n".join(plain(line) for line in text.splitlines()))
    return "\n".join(parts)
