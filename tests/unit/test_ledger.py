"""What travels on test reports, and its sum."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np

from pytest_initcheck.report.ledger import (
    MOST_REPORTS,
    Entry,
    Ledger,
    narrowed,
    pack,
    unpack,
    without_ini_notes,
)
from pytest_initcheck.report.result import Finding, InvariantResult, Report, SiteRow

FINDING = Finding("variance", "error", "fail", None, None, 3.0, (None, 2.0), "m", "c", "f", "p")
REPORT = Report(
    "m",
    "numpy",
    "fail",
    0,
    invariants={
        "finite": InvariantResult("pass", 3, None, "default"),
        "variance": InvariantResult("fail", 13, (None, 2.0), "call", claims=4),
    },
    findings=(FINDING,),
    sites=(SiteRow("a", "linear", 1.0, 0.5, None, 0.1, None, non_finite=False, first_wrong=True),),
    claims=5,
    frameworks={"numpy": "2"},
    notes=("a note",),
)


def test_a_report_survives_the_journey():
    assert unpack(json.loads(json.dumps(pack(REPORT)))) == REPORT


def test_numpy_scalars_become_plain_ones():
    site = SiteRow("a", "linear", np.float32(2), np.float64("nan"), None, None, None, np.bool_(True))  # type: ignore[arg-type]
    packed = pack(site)
    assert type(packed["second_moment"]) is float
    assert packed["non_finite"] is True
    assert math.isnan(packed["batch_variance"])


def test_equal_draws_count_once_wherever_they_were_made():
    entry = Entry("variance")
    entry.add(REPORT)
    ledger = Ledger()
    for _ in range(2):
        ledger.add(entry.payload(), failed=True)
    assert ledger.claims == 5
    assert len(ledger.models) == 1
    assert ledger.failed == {"m"}


def test_calls_of_one_test_are_summed():
    entry = Entry()
    entry.add(REPORT)
    entry.add(dataclasses.replace(REPORT, verdict="pass"))
    ledger = Ledger()
    ledger.add(entry.payload(), failed=False)
    assert ledger.claims == 10
    assert [report.verdict for report in ledger.models] == ["fail"]
    assert ledger.declared == ()


def test_a_model_is_narrowed_to_what_was_asked():
    entry = Entry("finite")
    entry.add(REPORT)
    ledger = Ledger()
    ledger.add(entry.payload(), failed=False)
    assert [(each.verdict, list(each.invariants), each.findings) for each in ledger.models] == [
        ("pass", ["finite"], ())
    ]
    assert narrowed(REPORT, ["variance"]).verdict == "fail"


def test_a_property_test_keeps_the_worst_and_newest_reports():
    entry = Entry()
    for index in range(3 * MOST_REPORTS):
        verdict = "fail" if index in (5, 2 * MOST_REPORTS) else "pass"
        entry.add(dataclasses.replace(REPORT, id=f"m{index}", verdict=verdict))
    assert len(entry.reports) == MOST_REPORTS
    assert {"m5", f"m{2 * MOST_REPORTS}", f"m{3 * MOST_REPORTS - 1}"} <= entry.reports.keys()
    ledger = Ledger()
    ledger.add(entry.payload(), failed=True)
    assert ledger.claims == 15 * MOST_REPORTS


def test_properties_are_small_plain_values():
    entry = Entry("variance")
    assert entry.properties() == []
    entry.add(REPORT)
    assert entry.properties() == [
        ("initcheck_verdict", "fail"),
        ("initcheck_replicates", 13),
        ("initcheck_value", 3.0),
        ("initcheck_limit", "..2"),
        ("initcheck_framework", "numpy"),
    ]


def test_properties_name_site_and_cause_for_all_that_share_it():
    finding = dataclasses.replace(
        REPORT.findings[0], site="fc\x1b", kind="init gain", also=("saturation",), value=3.0
    )
    entry = Entry("saturation")
    entry.add(dataclasses.replace(REPORT, findings=(finding,)))
    found = dict(entry.properties())
    assert found["initcheck_site"] == r"fc\x1b"
    assert found["initcheck_cause"] == "init gain"
    # the figure is that of the other invariant
    assert "initcheck_value" not in found


def test_ini_notes_are_taken_out_and_used_lines_returned():
    note = "allow('dead-relu', at='x') matches nothing; remove it (why)"
    report = dataclasses.replace(REPORT, notes=("a note", note))
    lines = [("dead-relu", "x", "why"), ("variance", "*", "so")]
    left, used = without_ini_notes(report, lines)
    assert left.notes == ("a note",)
    assert used == {"variance | * | so"}
    broken = dataclasses.replace(report, error="no")
    assert without_ini_notes(broken, lines)[1] == frozenset()
