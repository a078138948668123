"""``--initcheck-html``: written whole, refused early, and honest about a run that did not end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest

SOURCE = """
@ic.model(inputs=ic.normal(32))
@ic.bounded_dead_relu(0.9)
def good(rng):
    return net(rng)

@ic.model(inputs=ic.normal(32))
def broken(rng):
    return dead(rng)

@ic.model(inputs=ic.inputs_from(lambda width: ic.normal(width)))
@ic.family(depth=st.integers(1, 4), width=st.integers(16, 20), settings=settings(max_examples=3))
@ic.preserves_variance(10)
def family(rng, depth, width):
    return net(rng, gain=0.3, depth=depth, width=width)
"""


def page(project) -> str:
    return (project.path / "out.html").read_text(encoding="utf-8")


def data(project) -> list[dict]:
    """The columns and figures of each model in the page."""
    found = re.findall(r'<script type="application/json" class="data">(.*?)</script>', page(project))
    return [json.loads(text) for text in found]


def without_times(text: str) -> str:
    return re.sub(r"<dd>[\d.]+ s</dd>", "", text)


def test_the_page_has_every_model_and_what_plots_need(project):
    project.write(SOURCE)
    result = project.run("--initcheck", "--initcheck-html", "reports/out.html")
    result.stdout.fnmatch_lines(["report: *out.html"])
    (project.path / "reports" / "out.html").rename(project.path / "out.html")
    text = page(project)
    assert text.rstrip().endswith("</html>")
    assert "2 of 3 models do not start in a trainable place" in text
    for name in ("good", "broken", "family"):
        assert f'id="model-test-models-py-{name}' in text
    assert "family(depth=" in text
    for model in data(project):
        assert {"expected_low", "spread_low"} <= set(model["columns"])
        assert model["histograms"]


def test_it_does_not_depend_on_how_it_was_run(project):
    project.write(SOURCE)
    project.run("--initcheck", "--initcheck-html", "out.html")
    alone = page(project)
    project.run("--initcheck", "--initcheck-html", "out.html", "-n", "2")
    assert without_times(page(project)) == without_times(alone)


def test_fixture_calls_are_in_it_without_the_option_initcheck(project):
    project.write("def test_it(initcheck):\n    initcheck(net, inputs=ic.normal(32))\n")
    project.run("--initcheck-html", "out.html")
    assert data(project)[0]["histograms"]


def test_other_runs_measure_nothing_for_plots(project):
    project.write(SOURCE)
    project.run("--initcheck", "--initcheck-json", "out.json")
    for model in json.loads((project.path / "out.json").read_text())["models"]:
        for site in model["sites"]:
            assert site["kind"]
            assert (site["expected"], site["pre_activations"]) == (None, None)


def test_other_runs_import_no_library_for_pages(project):
    project.write(
        SOURCE
        + """
def test_light():
    import sys
    heavy = {"jinja2", "markupsafe", "plotly"} & set(sys.modules)
    print(f"HEAVY {sorted(heavy)}")
"""
    )
    result = project.run_apart("--initcheck", "--initcheck-json", "out.json", "-s")
    result.stdout.fnmatch_lines(["*HEAVY []*"])


def test_both_reports_agree(project):
    project.write(SOURCE)
    project.run("--initcheck", "--initcheck-json", "out.json", "--initcheck-html", "out.html")
    models = json.loads((project.path / "out.json").read_text())["models"]
    assert len(models) == len(data(project))
    assert all(site["expected"] for model in models for site in model["sites"][1:2])


def test_nothing_declared_makes_a_page_that_says_so(project):
    project.run("--initcheck-html", "out.html")
    assert "No model was checked" in page(project)


def test_collect_only_writes_nothing(project):
    project.write(SOURCE)
    project.run("--initcheck", "--collect-only", "--initcheck-html", "out.html")
    assert not (project.path / "out.html").exists()


# -- refused before anything runs ------------------------------------------------------------------


@pytest.mark.parametrize("target", [".", "nets.py/out.html"])
def test_a_path_that_cannot_be_written(project, target):
    project.write("def test_other(): raise AssertionError\n")
    result = project.run("--initcheck-html", target)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck: cannot write --initcheck-html *"])
    result.stdout.no_fnmatch_line("*test session starts*")


@pytest.mark.parametrize("library", ["jinja2", "plotly"])
def test_the_extra_is_not_installed(project, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    project.write("def test_other(): raise AssertionError\n")
    result = project.run("--initcheck-html", "out.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line]
    assert line == (
        "ERROR: initcheck: --initcheck-html needs plotly and jinja2; run: "
        "python -m pip install 'pytest-initcheck[html]'"
    )
    result.stdout.no_fnmatch_line("*test session starts*")
    # nothing else needs it
    assert project.run("--initcheck-json", "out.json").ret == pytest.ExitCode.TESTS_FAILED


def test_a_page_that_cannot_be_written_at_the_end_is_no_success(project):
    project.write(
        """
        import pathlib
        def test_in_the_way():
            pathlib.Path("out.html").mkdir()
        """
    )
    result = project.run("--initcheck-html", "out.html")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["the report could not be written to *out.html: *"])


# -- a run that did not end ------------------------------------------------------------------------


def run(project, *args: str, apart: bool = False) -> dict:
    """Run with both reports; return the JSON one, the page being whole and of the same opinion."""
    start = project.run_apart if apart else project.run
    result = start("--initcheck", "--initcheck-json", "out.json", "--initcheck-html", "out.html", *args)
    document = json.loads((project.path / "out.json").read_text())
    text = page(project)
    assert text.rstrip().endswith("</html>")
    assert ("did not come to its end" in text) == (not document["complete"])
    told = [line for line in result.outlines if line.startswith("the report is of an incomplete run: ")]
    assert bool(told) == (not document["complete"])
    if not document["complete"]:
        items = document["items"]
        sentence = f"{document['stopped']}: {items['ran']} of {items['declared']} items"
        assert sentence in text
        assert sentence in told[0]
    return document


COUNT = 2 + 8 + 2


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_complete_run(project, workers):
    project.write(SOURCE)
    document = run(project, *workers)
    assert (document["complete"], document["stopped"]) == (True, None)
    assert document["items"] == {"declared": COUNT, "ran": COUNT}


@pytest.mark.parametrize(
    "args", [("-x",), ("--maxfail=1",), ("-x", "-n", "1")], ids=["-x", "--maxfail", "workers"]
)
def test_stopped_after_a_failure(project, args):
    project.write(SOURCE)
    document = run(project, *args)
    assert not document["complete"]
    assert document["stopped"] == "stopping after 1 failures"
    assert document["items"]["declared"] == COUNT
    assert 2 < document["items"]["ran"] < COUNT
    assert "test_models.py::good" in [model["id"] for model in document["models"]]


def test_a_failure_of_the_last_item_stops_nothing(project):
    project.write(SOURCE)
    assert run(project, "-x", "-k", "family and variance")["complete"]


def test_deselected_items_are_not_missed(project):
    project.write(SOURCE)
    document = run(project, "-k", "good")
    assert document["items"] == {"declared": 2, "ran": 2}
    assert document["complete"]


def test_keyboard_interrupt(project):
    project.write(SOURCE + "\ndef test_interrupts(): raise KeyboardInterrupt\ndef test_after(): pass\n")
    document = run(project, apart=True)
    assert document["stopped"] == "interrupted by KeyboardInterrupt"
    assert document["items"] == {"declared": COUNT, "ran": COUNT}
    assert len({model["id"] for model in document["models"]}) == 3


def _heeding_interrupts():
    """A shell starts what runs in the background deaf to SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_from_outside_while_a_model_is_judged(project):
    project.write(
        """
        import pathlib, time
        @ic.model(inputs=ic.normal(32))
        def good(rng):
            return net(rng)
        @ic.model(inputs=ic.normal(32))
        def slow(rng):
            pathlib.Path("started").touch()
            time.sleep(60)
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--initcheck"]
    command += ["--initcheck-json", "out.json", "--initcheck-html", "out.html"]
    with subprocess.Popen(
        command, cwd=project.path, stdout=subprocess.DEVNULL, preexec_fn=_heeding_interrupts
    ) as process:
        while not (project.path / "started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    document = json.loads((project.path / "out.json").read_text())
    assert document["stopped"] == "interrupted by KeyboardInterrupt"
    assert document["items"] == {"declared": 16, "ran": 8}
    assert [model["id"] for model in document["models"]] == ["test_models.py::good"]
    assert "interrupted by KeyboardInterrupt: 8 of 16 items of declared models ran" in page(project)


def test_pytest_exit_tells_its_reason(project):
    project.write(
        SOURCE + "\ndef test_exits(): pytest.exit('enough <of this>')\ndef test_after(): pass\n"
    )
    document = run_and_unescape(project)
    assert document["stopped"] == "enough <of this>"


def run_and_unescape(project) -> dict:
    project.run("--initcheck", "--initcheck-json", "out.json", "--initcheck-html", "out.html")
    assert "enough &lt;of this&gt;: " in page(project)
    document: dict = json.loads((project.path / "out.json").read_text())
    return document


def test_a_file_that_cannot_be_collected(project):
    project.write(SOURCE)
    project.write("raise ValueError('no')", name="test_other")
    document = run(project)
    assert document["stopped"] == "1 file could not be collected"
    assert document["models"] == []
    document = run(project, "--continue-on-collection-errors")
    assert document["stopped"] == "1 file could not be collected"
    assert len({model["id"] for model in document["models"]}) == 3


def test_a_worker_that_crashes(project):
    project.write(SOURCE + "\ndef test_crashes():\n    import os\n    os._exit(1)\n")
    document = run(project, "-n", "1")
    assert document["stopped"] == "a worker crashed"
    assert document["items"]["declared"] == COUNT


def test_an_error_of_collection_on_a_worker(project):
    project.write(SOURCE)
    project.write("raise ValueError('no')", name="test_other")
    assert not run(project, "-n", "1")["complete"]
