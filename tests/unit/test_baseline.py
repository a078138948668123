"""The baseline file: what is written is read again, what cannot be read is one clear line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.baseline import Baseline, Kept, Known
from pytest_initcheck.baseline.applied import ACCEPTED, asked_of, compared
from pytest_initcheck.baseline.keeping import known_of, with_known
from pytest_initcheck.baseline.reading import parsed, read
from pytest_initcheck.baseline.updating import gone, told, updated
from pytest_initcheck.baseline.writing import text
from pytest_initcheck.errors import ConfigError
from pytest_initcheck.profiles import Layer, Profile, Range
from pytest_initcheck.report.result import Finding, InvariantResult, Report

PROFILE = Profile(
    32,
    "normal(0,1):784",
    0.21,
    {"torch": "2.13.0"},
    (
        Layer(
            "features.0", "linear 256x784", Range(1.003, 0.1041), Range(0.0505, 0.001), Range(0.0, 0.0)
        ),
        Layer("head", "linear 10x256", None, Range(0.0, 0.0)),
    ),
)
KNOWN = Known("variance", "features.4", "vanishing", "signal falls 6x", "legacy, gone with v2")
MODELS = {
    "m.py::net": Kept(PROFILE, (KNOWN,)),
    "m.py::old": Kept(None, (KNOWN,)),
    "m.py::new": Kept(PROFILE),
}

TEXT = """\
# What fresh initialisations of each model look like, and which findings are known and why.
# pytest --initcheck compares with it; --initcheck-update-baseline writes it anew and keeps the reasons.
# gain: second moment over that of the layer before; weight, bias: root mean square; spread: of log2.
schema = 1

[models."m.py::net"]
inputs = "normal(0,1):784"
versions = { torch = "2.13.0" }
inits = 32
spread = 0.21
layers = [
  { name = "features.0", layer = "linear 256x784", gain = 1.003, gain_spread = 0.1041, weight = 0.0505, weight_spread = 0.001, bias = 0.0 },
  { name = "head", layer = "linear 10x256", weight = 0.0 },
]
known = [
  { invariant = "variance", site = "features.4", direction = "vanishing", seen = "signal falls 6x", reason = "legacy, gone with v2" },
]
"""


def test_a_line_per_layer_and_finding():
    assert text({"m.py::net": Kept(PROFILE, (KNOWN,))}) == TEXT


def test_what_is_written_is_read():
    assert parsed(text(MODELS), "b.toml") == MODELS
    assert list(parsed(text(MODELS), "b.toml")) == sorted(MODELS)


TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
NUMBERS = st.floats(1e-30, 1e30).map(lambda value: float(f"{value:.4g}"))
RANGES = st.none() | st.builds(Range, NUMBERS, NUMBERS) | st.just(Range(0.0, 0.0))


@given(
    st.dictionaries(
        TEXTS,
        st.builds(
            Kept,
            st.none()
            | st.builds(
                Profile,
                st.integers(1, 99),
                TEXTS,
                st.none() | NUMBERS,
                st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), TEXTS, max_size=2),
                st.lists(st.builds(Layer, TEXTS, TEXTS, RANGES, RANGES, RANGES), max_size=3).map(tuple),
            ),
            st.lists(
                st.builds(
                    Known,
                    st.just("dead-relu"),
                    st.none() | TEXTS,
                    st.none() | TEXTS,
                    TEXTS,
                    TEXTS.filter(lambda reason: reason.strip("\ud800?") and reason.strip()),
                ),
                max_size=2,
            ).map(tuple),
        ),
        max_size=3,
    )
)
def test_any_text_is_valid_toml_and_survives(models):
    """Hostile ids and reasons too; what UTF-8 cannot hold becomes a question mark."""
    written = text(models)
    tomllib.loads(written)
    again = parsed(written, "b.toml")
    assert text(again) == written
    if all(char < "\ud800" or char > "\udfff" for id in models for char in id):
        assert again.keys() == models.keys()


BAD = {
    "has merge markers (line 2: <<<<<<<); take the lines of one side": "schema = 1\n<<<<<<< HEAD\n",
    "has merge markers (line 1: =======)": "=======\n",
    "is corrupt: ": "schema = 1\n[models\n",
    "is no baseline: it has no line 'schema = 1'": "[models]\n",
    "has schema 2, and pytest-initcheck": "schema = 2\nwhatever = 3\n",
    "unknown key 'model'; did you mean 'models'?": "schema = 1\n[model.x]\n",
    "models wants": "schema = 1\nmodels = 3\n",
    "'m' wants a table, got 3": "schema = 1\n[models]\nm = 3\n",
    "models.'m': unknown key 'init'; did you mean 'inits'?": "schema = 1\n[models.m]\ninit = 3\n",
    "models.'m': inits cannot be 'many'": "schema = 1\n[models.m]\ninits = 'many'\n",
    "models.'m' has no inputs": "schema = 1\n[models.m]\ninits = 3\n",
    "layers[0] has no name": "schema = 1\n[models.m]\ninits = 3\ninputs = ''\nlayers = [{}]\n",
    "layers[0]: gain cannot be -1.0": "schema = 1\n[models.m]\ninits = 3\ninputs = ''\n"
    "layers = [{ name = 'a', layer = 'b', gain = -1.0 }]\n",
    "layers[0]: gain cannot be nan": "schema = 1\n[models.m]\ninits = 3\ninputs = ''\n"
    "layers = [{ name = 'a', layer = 'b', gain = nan }]\n",
    "layers[0] wants a table, got 3": "schema = 1\n[models.m]\ninits = 3\ninputs = ''\nlayers = [3]\n",
    "unknown invariant 'varianse'; did you mean 'variance'?": "schema = 1\n[models.m]\n"
    "known = [{ invariant = 'varianse', reason = 'x' }]\n",
    "known[0]: variance is kept without a reason": "schema = 1\n[models.m]\n"
    "known = [{ invariant = 'variance', reason = ' ' }]\n",
}


@pytest.mark.parametrize("said", BAD)
def test_what_cannot_be_read_is_one_line(said):
    with pytest.raises(ConfigError) as caught:
        parsed(BAD[said], "b.toml")
    assert said.replace("models wants", "b.toml: models cannot be 3") in str(caught.value)
    assert "b.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_binary_or_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"the baseline b\.toml does not exist; write it with"):
        read(tmp_path / "b.toml", "b.toml", updating=False)
    assert read(tmp_path / "b.toml", "b.toml", updating=True).models == {}
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no text in UTF-8"):
        read(tmp_path / "b.toml", "b.toml", updating=True)
    with pytest.raises(ConfigError, match="cannot read the baseline"):
        read(tmp_path, "b.toml", updating=True)


# -- what is known ---------------------------------------------------------------------------------


def finding(invariant="variance", site="features.4", direction="vanishing", also=(), severity="error"):
    verdict = "fail" if severity == "error" else "inconclusive"
    return Finding(
        invariant,
        severity,
        verdict,
        direction,
        site,
        1.0,
        (None, 2.0),
        "falls",
        "c",
        "f",
        "p",
        also=also,
    )


def report(*findings, id="m.py::net", passing=()):
    names = {name for each in findings for name in (each.invariant, *each.also)}
    results = {name: InvariantResult("fail", 13, None, "default") for name in names}
    results |= {name: InvariantResult("pass", 3, None, "default") for name in passing}
    return Report(id, "numpy", "fail" if findings else "pass", 0, results, findings)


def test_a_known_finding_no_longer_fails():
    found = with_known(report(finding(), passing=("finite",)), [KNOWN], "b.toml")
    assert (found.verdict, found.ok, found.failures) == ("known", True, ())
    assert found.findings[0].reason == KNOWN.reason
    assert found.invariants["variance"].verdict == "known"
    assert found.invariants["variance"].note == f"kept: {KNOWN.reason}"
    assert found.invariants["finite"].verdict == "pass"
    assert found.notes == ()
    found.raise_if_failed()


@pytest.mark.parametrize(
    "other", [finding(site="features.8"), finding(direction="exploding"), finding("symmetry")]
)
def test_another_place_direction_or_invariant_is_new(other):
    found = with_known(report(other), [KNOWN], "b.toml")
    assert found.verdict == "fail"
    assert found.failures == (other,)


def test_a_new_finding_next_to_a_known_one_fails():
    found = with_known(report(finding(), finding(site="head")), [KNOWN], "b.toml")
    assert (found.verdict, len(found.failures)) == ("fail", 1)
    assert found.invariants["variance"].verdict == "fail"


def test_invariants_that_share_the_cause_are_known_too():
    shared = finding(also=("gradient",))
    assert with_known(report(shared), [KNOWN], "b.toml").invariants["gradient"].verdict == "known"
    other_first = finding("gradient", direction=None, also=("variance",))
    assert with_known(report(other_first), [KNOWN], "b.toml").verdict == "known"


def test_a_kept_finding_that_is_gone_is_noted():
    found = with_known(report(passing=("variance",)), [KNOWN], "b.toml")
    assert found.verdict == "pass"
    assert found.notes == ("variance at features.4 is kept in b.toml, but gone; remove its line",)
    not_judged = with_known(report(passing=("finite",)), [KNOWN], "b.toml")
    assert not_judged.notes == ()


def test_what_is_undecided_is_never_known():
    doubtful = finding(severity="warning")
    assert with_known(report(doubtful), [KNOWN], "b.toml").findings == (doubtful,)


def test_an_error_stays_an_error():
    broken = Report("m.py::net", None, "error", 0, error="no")
    assert with_known(broken, [KNOWN], "b.toml") == broken
    assert compared(Baseline(None, "b", MODELS), broken) == broken
    assert known_of(broken, [KNOWN], "new") == (KNOWN,)


# -- writing it anew -------------------------------------------------------------------------------

BASELINE = Baseline(None, "b.toml", MODELS, updating=True)


def test_reasons_survive_an_update_and_new_ones_are_to_be_written():
    seen = replace(report(finding(), finding("symmetry", "head", None)), profile=PROFILE)
    after = updated(BASELINE, [compared(BASELINE, seen)])
    kept = after["m.py::net"].known
    assert [(each.invariant, each.reason) for each in kept] == [
        ("variance", KNOWN.reason),
        ("symmetry", ACCEPTED),
    ]
    assert after["m.py::new"] == MODELS["m.py::new"]
    assert told(BASELINE, after).endswith("write a reason for 1 of them")


def test_a_finding_that_is_gone_goes_and_one_that_was_not_judged_stays():
    after = updated(BASELINE, [report(passing=("variance",))])
    assert after["m.py::net"] == Kept(PROFILE, ())
    after = updated(BASELINE, [report(passing=("finite",))])
    assert after["m.py::net"].known == (KNOWN,)


def test_a_model_in_error_keeps_what_it_had():
    broken = Report("m.py::net", None, "error", 0, error="no")
    assert updated(BASELINE, [broken]) == MODELS


def test_while_it_is_written_every_failure_is_known():
    assert compared(BASELINE, report(finding("symmetry"))).verdict == "known"


def test_a_model_that_the_baseline_does_not_have_is_said():
    found = compared(Baseline(None, "b.toml"), report(passing=("finite",)))
    assert found.invariants["drift"].verdict == "skipped"
    assert found.invariants["drift"].note == ("not in b.toml; add it with --initcheck-update-baseline")
    assert "drift" not in compared(Baseline(None, "b"), report(), drifts=False).invariants


def test_what_a_check_is_asked():
    assert asked_of(BASELINE, "m.py::net") == {"profiling": True}
    comparing = replace(BASELINE, updating=False)
    assert asked_of(comparing, "m.py::net") == {"expected": PROFILE, "baseline": "b.toml"}
    assert asked_of(comparing, "nobody") == {"expected": None, "baseline": "b.toml"}


def test_models_are_gone_from_files_that_were_collected():
    baseline = Baseline(None, "b", {"a.py::x": Kept(), "a.py::y": Kept(), "b.py::z": Kept()})
    assert gone(baseline, ["a.py::x"], ["a.py"]) == ["a.py::y"]


def test_start_up_does_not_read_toml():
    code = "import sys, pytest_initcheck.plugin; sys.exit('tomllib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
