"""The pytest hooks: options, ini keys, marker and fixture; everything else is imported when used.

At module level this imports pytest and the standard-library part of the package, so that an idle
plugin costs nothing.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_initcheck.config import (
    CALL_OPTIONS,
    DRIFT,
    LIMITS,
    NAMES,
    RunOptions,
    Setting,
    allow_fields,
    check_marker,
    collecting,
    invariant_name,
    unknown_ini_keys,
)
from pytest_initcheck.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Baseline
    from pytest_initcheck.fixture import InitCheck
    from pytest_initcheck.report.ledger import Entry

OPTIONS: pytest.StashKey[RunOptions] = pytest.StashKey()
CURRENT_ITEM: pytest.StashKey[pytest.Item | None] = pytest.StashKey()
ENTRY: pytest.StashKey[Entry] = pytest.StashKey()
"""What an item evaluated, until its test report takes it along."""

_OTHER_INI = ("initcheck_files", "initcheck_batch", "initcheck_baseline", "initcheck_allow")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("initcheck", "initcheck: does a model start in a trainable place?")
    group.addoption("--initcheck", action="store_true", default=False, help="check every declared model")
    group.addoption(
        "--initcheck-only", action="store_true", default=False, help="--initcheck, and no other test"
    )
    group.addoption(
        "--initcheck-model",
        action="append",
        default=[],
        metavar="SPEC",
        help="check this model too: pkg.mod:name, path.py:name, torchvision:name, timm:name, hf:name or "
        "hf-tiny:name (repeatable; implies --initcheck)",
    )
    group.addoption(
        "--initcheck-inputs",
        action="append",
        default=[],
        metavar="SPEC",
        help="inputs of the --initcheck-model models, for example normal:784@64, uniform(0,1):3x32x32, "
        "tokens(1000):32; once for all of them, or once for each in order",
    )
    group.addoption(
        "--initcheck-seed",
        default="0",
        metavar="N|random",
        help="root seed of every draw (default 0); 'random' picks one and prints it",
    )
    group.addoption(
        "--initcheck-strict", action="store_true", default=False, help="inconclusive claims fail"
    )
    group.addoption(
        "--initcheck-show",
        choices=("failed", "all"),
        default="failed",
        help="whose table is shown: failed (default), with the failure, or all, others in the summary",
    )
    group.addoption(
        "--initcheck-json", default=None, metavar="PATH", help="write the report as JSON to this file"
    )
    group.addoption(
        "--initcheck-html",
        default=None,
        metavar="PATH",
        help="write the report as one HTML file with plots (needs the extra 'html')",
    )
    group.addoption(
        "--initcheck-sarif",
        default=None,
        metavar="PATH",
        help="write the findings as SARIF 2.1.0 to this file, for code scanning",
    )
    group.addoption(
        "--initcheck-baseline",
        action="append",
        default=[],
        metavar="FILE",
        help="compare every model with its profile in this file, and keep the findings that it knows",
    )
    group.addoption(
        "--initcheck-update-baseline",
        action="store_true",
        default=False,
        help="write the baseline anew from this run instead of comparing with it",
    )
    group.addoption(
        "--initcheck-explain",
        default=None,
        metavar="NAME",
        help="print what an invariant means, its limit, its theory and its typical causes, and exit: "
        + ", ".join((*NAMES, DRIFT)),
    )
    for row in LIMITS:
        default = "" if row.default is None else f" (default {row.default:g})"
        parser.addini(row.ini, f"{row.invariant}: {row.help}{default}", type="float", default=None)
    parser.addini(
        "initcheck_files",
        "files besides the test files to collect declared models from (default models.py)",
        type="args",
        default=None,
    )
    parser.addini("initcheck_batch", "samples per probe batch (default 64)", type="int", default=None)
    parser.addini("initcheck_baseline", "the file of --initcheck-baseline", type="string", default=None)
    parser.addini(
        "initcheck_allow",
        "known deviations, one a line: INVARIANT | SITES | REASON",
        type="linelist",
        default=[],
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    asked = config.option.initcheck_explain
    if asked is None:
        return None
    from pytest_initcheck.console import explain

    try:
        explain(config, DRIFT if asked == DRIFT else invariant_name(asked))
    except ConfigError as error:
        raise pytest.UsageError(f"initcheck: --initcheck-explain: {error}") from None
    return pytest.ExitCode.OK


def pytest_configure(config: pytest.Config) -> None:
    names = ", ".join((*(row.keyword for row in LIMITS), *CALL_OPTIONS))
    config.addinivalue_line(
        "markers", f"initcheck(**limits): limits for the initcheck fixture in this test ({names})"
    )
    on_worker = hasattr(config, "workerinput")
    try:
        options = _read_options(config)
        if not on_worker:
            _refuse_unknown_keys(config)
        config.stash[OPTIONS] = options
        if options.collect:
            from pytest_initcheck.collection import Collection

            config.pluginmanager.register(Collection(config), "initcheck-collection")
    except ConfigError as error:
        raise pytest.UsageError(f"initcheck: {error}") from None
    if on_worker:
        return
    if options.collect or options.written_paths:
        _start_session(config)
    else:
        config.pluginmanager.register(_Idle(config), "initcheck-idle")


def _read_options(config: pytest.Config) -> RunOptions:
    asked = config.option
    specs, inputs = tuple(asked.initcheck_model), tuple(asked.initcheck_inputs)
    if inputs and len(inputs) not in (1, len(specs)):
        raise ConfigError(
            f"--initcheck-inputs was given {len(inputs)} times for {len(specs)} --initcheck-model; "
            "give it once for all models, or once for each in order"
        )
    if inputs and not specs:
        raise ConfigError("--initcheck-inputs describes the models of --initcheck-model; name one")
    root_seed = _root_seed(config)
    limits = {}
    for row in LIMITS:
        value = _ini(config, row.ini)
        if value is not None:
            limits[row.keyword] = Setting(row.check(value, f"ini {row.ini}"), f"ini {row.ini}")
    batch = _ini(config, "initcheck_batch")
    if batch is not None and batch < 2:
        raise ConfigError(f"initcheck_batch must be at least 2, got {batch}")
    files = config.getini("initcheck_files")
    here = config.invocation_params.dir
    reports = {
        f"{kind}_path": here / path
        for kind in ("json", "html", "sarif")
        if (path := getattr(asked, f"initcheck_{kind}")) is not None
    }
    return RunOptions(
        collect=bool(asked.initcheck or asked.initcheck_only or specs),
        only=asked.initcheck_only,
        specs=specs,
        inputs=inputs,
        root_seed=root_seed,
        strict=asked.initcheck_strict,
        show_all=asked.initcheck_show == "all",
        **reports,
        limits=limits,
        batch=batch,
        allows=tuple(allow_fields(line) for line in config.getini("initcheck_allow")),
        files=None if files is None else tuple(files),
        baseline=_baseline(config),
        root=config.rootpath,
        # later on standard output may be captured
        encoding=getattr(sys.stdout, "encoding", None) or "ascii",
    )


def _baseline(config: pytest.Config) -> Baseline | None:
    files, updating = config.option.initcheck_baseline, config.option.initcheck_update_baseline
    if len(files) > 1:
        raise ConfigError(
            "--initcheck-baseline was given twice: a run compares with one baseline, or writes it"
        )
    of_ini = config.getini("initcheck_baseline")
    if not (files or of_ini):
        if updating:
            raise ConfigError("--initcheck-update-baseline needs --initcheck-baseline FILE")
        return None
    from pytest_initcheck.baseline.reading import read

    if files:
        return read(config.invocation_params.dir / files[0], files[0], updating=updating)
    return read(config.rootpath / of_ini, of_ini, updating=updating)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (TypeError, ValueError, pytest.UsageError) as error:  # a text that is no number
        example = "64" if name == "initcheck_batch" else "0.1"
        raise ConfigError(
            f"ini {name} wants a number, for example {name} = {example}: {error}"
        ) from None


def _root_seed(config: pytest.Config) -> int:
    from_controller = getattr(config, "workerinput", {}).get("initcheck_seed")
    if from_controller is not None:
        return int(from_controller)  # a worker must not pick a random one of its own
    text = str(config.option.initcheck_seed)
    if text == "random":
        import random

        return random.SystemRandom().randrange(2**32)
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"--initcheck-seed wants a whole number from 0 or 'random', got {text!r}")
    return int(text)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    from pytest_initcheck.console import layout

    node.workerinput["initcheck_seed"] = node.config.stash[OPTIONS].root_seed
    node.workerinput["initcheck_layout"] = vars(layout(node.config))


def _refuse_unknown_keys(config: pytest.Config) -> None:
    known = (*(row.ini for row in LIMITS), *_OTHER_INI)
    keys = [pair.partition("=")[0].strip() for pair in config.getoption("override_ini") or []]
    unknown = [key for key in keys if key.startswith("initcheck") and key not in known]
    if config.inipath is not None:
        unknown += unknown_ini_keys(config.inipath.read_text(encoding="utf-8"), known)
    for key in unknown:
        raise ConfigError(f"unknown ini key {key!r}{did_you_mean(key, known)}")


def _start_session(config: pytest.Config, *, late: bool = False) -> Any:
    from pytest_initcheck.session import Session

    session = Session(config, late=late)
    config.pluginmanager.register(session, "initcheck-session")
    return session


class _Idle:
    """Waits for the first report on which the fixture was used; only then there is a summary."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "initcheck" in report.__dict__:
            self.config.pluginmanager.unregister(self)
            _start_session(self.config, late=True).pytest_runtest_logreport(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    with collecting():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> list[Any] | None:
    declare = sys.modules.get("pytest_initcheck.declare")
    if declare is None or type(obj) is not declare.Declared:
        return None
    if not collector.config.stash[OPTIONS].collect:
        return []
    from pytest_initcheck.collection import declared_nodes

    found: list[Any] = declared_nodes(collector, name, obj)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.config.stash[CURRENT_ITEM] = item
    try:
        return (yield)
    finally:
        item.config.stash[CURRENT_ITEM] = None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not isinstance(item, pytest.Function):
        return
    try:
        for mark in item.iter_markers("initcheck"):
            check_marker(mark.args, mark.kwargs)
        wrong = None
    except ConfigError as error:
        wrong = str(error)
    if wrong is not None:
        pytest.fail(f"{item.nodeid}: @pytest.mark.initcheck: {wrong}", pytrace=False)
    # a mark on the module or class may concern some of its tests only
    own = any(mark.name == "initcheck" for mark in item.own_markers)
    if own and "initcheck" not in item.fixturenames:
        pytest.fail(
            f"{item.nodeid}: @pytest.mark.initcheck sets limits for the fixture 'initcheck', which this "
            "test does not use; add the argument initcheck and call initcheck(factory)",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    entry = item.stash.get(ENTRY, None)
    if entry is None:
        return (yield)
    del item.stash[ENTRY]
    # before the report is made: junitxml reads them at teardown, from the item
    item.user_properties.extend(entry.properties())
    report = yield
    report.initcheck = entry.payload()  # type: ignore[attr-defined]  # reports carry extra attributes
    return report


@pytest.fixture(scope="session")
def initcheck(pytestconfig: pytest.Config) -> InitCheck:
    """Check a model: ``initcheck(factory, inputs=...)``, or ``initcheck.saturation(factory, ...)``."""
    from pytest_initcheck.fixture import InitCheck

    return InitCheck(pytestconfig)
