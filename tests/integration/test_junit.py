"""What JUnit files carry."""

from __future__ import annotations

import xml.etree.ElementTree as ET

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_saturation(0.2)
def classifier(rng):
    return saturated(rng)

def test_fixture(initcheck):
    initcheck(net, inputs=ic.normal(32))
"""


def properties(project, *args: str) -> dict[str, dict[str, str]]:
    project.write(SOURCE)
    project.run("--initcheck", "--junitxml", "out.xml", *args)
    cases = ET.parse(project.path / "out.xml").iter("testcase")
    return {
        case.get("name", ""): {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        for case in cases
    }


def test_small_values_of_items_and_fixture_calls(project):
    found = properties(project)
    assert found["saturation"]["initcheck_verdict"] == "fail"
    assert int(found["saturation"]["initcheck_replicates"]) >= 13
    assert float(found["saturation"]["initcheck_value"]) > 0.5
    assert found["saturation"]["initcheck_limit"] == "0..0.2"
    assert found["saturation"]["initcheck_site"] == "0"
    assert found["saturation"]["initcheck_cause"] == "init gain"
    assert found["saturation"]["initcheck_framework"] == "numpy"
    assert found["finite"]["initcheck_verdict"] == "pass"
    assert found["finite"]["initcheck_framework"] == "numpy"
    assert not {"initcheck_site", "initcheck_cause"} & found["finite"].keys()
    assert found["test_fixture"]["initcheck_verdict"] == "pass"


def test_an_invariant_that_shares_a_cause_names_it(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        def vanishing(rng):
            return net(rng, gain=0.05, depth=8)
        """
    )
    project.run("--initcheck", "--junitxml", "out.xml")
    failed = [
        {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        for case in ET.parse(project.path / "out.xml").iter("testcase")
        if case.find("failure") is not None
    ]
    assert failed
    assert {each["initcheck_cause"] for each in failed} == {"init gain"}
    assert {each["initcheck_site"] for each in failed} == {"0"}


def test_a_model_in_error_has_neither_site_nor_cause(project):
    project.write(
        """
        @ic.model(inputs=ic.normal(32))
        def raising(rng):
            raise ValueError("no weights")
        """
    )
    project.run("--initcheck", "--junitxml", "out.xml")
    names = {each.get("name") for each in ET.parse(project.path / "out.xml").iter("property")}
    assert names == {"initcheck_verdict", "initcheck_replicates"}


def test_the_same_with_workers(project):
    assert properties(project, "-n", "2") == properties(project)


def test_the_message_is_complete_in_itself(project):
    properties(project)
    failure = next(ET.parse(project.path / "out.xml").iter("failure"))
    assert failure.get("message", "").endswith("(saturation FAIL classifier)")
    assert "fix" in (failure.text or "")
