"""What JSON reports and SARIF logs have to be, and whether those of some reports are.

Loaded with ``runpy``: test folders are no packages.
"""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from pytest_initcheck.config import DRIFT, NAMES
from pytest_initcheck.explain import explained
from pytest_initcheck.report import json as json_report
from pytest_initcheck.report import sarif


def closed(schema):
    """The schema with every key that it does not know refused: what this version writes is all there."""
    if isinstance(schema, dict):
        found = {key: closed(value) for key, value in schema.items()}
        return {**found, "additionalProperties": False} if "properties" in found else found
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


STRICT = Draft202012Validator(closed(json_report.schema()))


def table(required=(), **properties):
    """An object of the standard, with the properties of it that are written here."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def rows(items, **more):
    return {"type": "array", "items": items, **more}


TEXT = {"type": "string"}
MESSAGE = table(["text"], text=TEXT, markdown=TEXT)  # 3.11, 3.12
ARTIFACT = table(uri={"type": "string", "format": "uri-reference"}, uriBaseId=TEXT)  # 3.4
LOCATION = table(  # 3.28
    physicalLocation=table(
        ["artifactLocation"],  # 3.29
        artifactLocation=ARTIFACT,
        region=table(startLine={"type": "integer", "minimum": 1}),  # 3.30
    ),
    logicalLocations=rows(table(name=TEXT, fullyQualifiedName=TEXT, kind=TEXT)),  # 3.33
)
LEVEL = {"enum": ["none", "note", "warning", "error"]}  # 3.27.10
RESULT = table(  # 3.27
    ["message"],
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    locations=rows(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    suppressions=rows(  # 3.35
        table(
            ["kind"],
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        ),
        uniqueItems=True,
    ),
)
RULE = table(  # 3.49
    ["id"],
    id=TEXT,
    name=TEXT,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=table(level=LEVEL),
)
VERSION = {"type": "string", "pattern": r"^\d+\.\d+\.\d+"}
RUN = table(  # 3.14
    ["tool"],
    tool=table(
        ["driver"],
        driver=table(
            ["name"],
            name=TEXT,
            version=TEXT,
            semanticVersion=VERSION,
            rules=rows(RULE, uniqueItems=True),
        ),
    ),
    invocations=rows(
        table(
            ["executionSuccessful"],
            executionSuccessful={"type": "boolean"},
            properties={"type": "object"},
        )
    ),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    originalUriBaseIds={"type": "object", "additionalProperties": table(uri=TEXT, description=MESSAGE)},
    results=rows(RESULT),
)
SARIF = Draft202012Validator(
    {
        **table(["version", "runs"], version={"const": "2.1.0"}, runs=rows(RUN)),
        "properties": {
            "$schema": {"type": "string", "format": "uri"},
            "version": {"const": "2.1.0"},
            "runs": rows(RUN),
        },
    }
)
"""The structure of the standard's schema, closed over what is written here."""


def validate(*reports):
    """Raise unless both documents of these reports are valid."""
    claims = sum(report.claims for report in reports)
    found = json_report.document(reports, root_seed=0, claims=claims)
    STRICT.validate(json.loads(json.dumps(found, allow_nan=False)))
    helps = {name: "\n".join(explained(name)) for name in (*NAMES, DRIFT)}
    log = sarif.document(reports, helps, root_seed=0)
    SARIF.validate(json.loads(json.dumps(log, allow_nan=False)))
