"""One table of limits, and which of call, decorator, marker, ini and default decides each.

Standard library only: pytest start-up imports this module.  PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_initcheck.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Baseline

_RUNNING = threading.local()


@contextmanager
def collecting() -> Iterator[None]:
    """Mark that pytest is importing the user's files: a declaration then keeps what is wrong with it."""
    before = is_collecting()
    _RUNNING.collection = True
    try:
        yield
    finally:
        _RUNNING.collection = before


def is_collecting() -> bool:
    """Tell whether this thread is inside :func:`collecting`."""
    return getattr(_RUNNING, "collection", False)


@dataclass(frozen=True)
class Invariant:
    """One invariant: its name in text, its decorator, and one sentence for ``--help``.

    ``unasked`` ones are checked by default, the others when a name or a limit asks for them.
    """

    name: str
    decorator: str
    asserts: str
    unasked: bool = True

    @property
    def keyword(self) -> str:
        return self.name.replace("-", "_")


INVARIANTS: tuple[Invariant, ...] = (
    Invariant("finite", "stays_finite", "parameters, outputs and gradients are finite"),
    Invariant("inputs", "normalized_inputs", "the inputs are scaled as the initialisation assumes"),
    Invariant("variance", "preserves_variance", "the signal neither vanishes nor explodes with depth"),
    Invariant("saturation", "bounded_saturation", "few bounded units start where their slope is gone"),
    Invariant("dead-relu", "bounded_dead_relu", "few rectifier units are inactive on every input"),
    Invariant("gradient", "preserves_gradient", "small changes of the input do not blow up with depth"),
    Invariant("trainable", "trains_everywhere", "every trainable tensor receives a gradient in 3 steps"),
    Invariant("symmetry", "breaks_symmetry", "equal units do not stay equal, no block is a copy"),
    Invariant(
        "matched-init",
        "matched_init",
        "each weight's variance is the one that its activation needs",
        unasked=False,
    ),
    Invariant(
        "reproducible",
        "reproducible",
        "the signal's size is the same from seed to seed",
        unasked=False,
    ),
)
NAMES: tuple[str, ...] = tuple(row.name for row in INVARIANTS)
DRIFT = "drift"
DRIFT_ASSERTS = "fresh initialisations are those that the baseline has"
"""What a baseline asks for: no decorator and no limit, its items come with ``--initcheck-baseline``."""


@dataclass(frozen=True)
class Limit:
    """One limit: the same keyword in a call, a marker and (with ``initcheck_``) the ini file.

    * ``parameter`` is its name in the decorator, ``asked`` the decorator's own default.
    * ``default`` None means that the invariant judges harm by theory, as its help says.
    """

    keyword: str
    invariant: str
    parameter: str
    default: float | None
    asked: float | None
    above: float
    below: float
    help: str

    @property
    def ini(self) -> str:
        return f"initcheck_{self.keyword}"

    def check(self, value: object, source: str) -> float:
        """Return the value as a float.

        Raises ConfigError if it is no number or outside the open range.
        """
        __tracebackhide__ = True
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{self.keyword} wants a number, got {value!r} ({source})")
        if not (math.isfinite(value) and self.above < value < self.below):
            raise ConfigError(f"{self.keyword} must be {self.range}, got {value:g} ({source})")
        return float(value)

    @property
    def range(self) -> str:
        """The open range in words.

        >>> limit_row("saturation").range, limit_row("variance").range
        ('above 0 and below 1', 'above 1')
        """
        sides = []
        if math.isfinite(self.above):
            sides.append(f"above {self.above:g}")
        if math.isfinite(self.below):
            sides.append(f"below {self.below:g}")
        return " and ".join(sides) or "finite"


_INF = math.inf
LIMITS: tuple[Limit, ...] = (
    Limit("input_second_moment", "inputs", "limit", 46.0, None, 0, _INF, "largest E[x^2] of an input"),
    Limit("input_columns", "inputs", "columns", 1000.0, None, 1, _INF, "largest ratio of column scales"),
    Limit("input_mean", "inputs", "mean", None, 0.0, -_INF, _INF, "wanted mean, within std / 4"),
    Limit("input_std", "inputs", "std", None, 1.0, 0, _INF, "wanted standard deviation, within 25 %"),
    Limit(
        "variance",
        "variance",
        "limit",
        None,
        10.0,
        1,
        _INF,
        "factor around the matched length map; unset: judge harm only",
    ),
    Limit(
        "saturation",
        "saturation",
        "limit",
        0.25,
        None,
        0,
        1,
        "largest saturated share of a hidden layer",
    ),
    Limit(
        "dead_relu",
        "dead-relu",
        "limit",
        None,
        None,
        0,
        1,
        "largest dead share of a layer; unset: half of what a matched init keeps alive",
    ),
    Limit(
        "gradient",
        "gradient",
        "limit",
        None,
        10.0,
        1,
        _INF,
        "factor around the matched backward map; unset: judge harm only",
    ),
    Limit(
        "matched_init",
        "matched-init",
        "limit",
        0.05,
        None,
        0,
        1,
        "largest relative deviation of a weight's variance",
    ),
    Limit(
        "reproducible",
        "reproducible",
        "limit",
        2.0,
        None,
        1,
        _INF,
        "factor by which the signal's size differs from seed to seed, one standard deviation",
    ),
)


@dataclass(frozen=True)
class Setting:
    """A limit's value and where it came from."""

    value: float | None
    source: str


@dataclass(frozen=True)
class Limits:
    """Every limit with its source."""

    settings: Mapping[str, Setting]

    def __getitem__(self, keyword: str) -> float | None:
        return self.settings[keyword].value

    def source(self, keyword: str) -> str:
        return self.settings[keyword].source

    def asked(self, keyword: str) -> bool:
        return self.settings[keyword].source != "default"


def known_keywords() -> tuple[str, ...]:
    return tuple(row.keyword for row in LIMITS)


def limit_row(keyword: str) -> Limit:
    """Return the table's row for a keyword; ``dead-relu`` reads like ``dead_relu``.

    Raises ConfigError with a suggestion for an unknown one.
    """
    __tracebackhide__ = True
    wanted = keyword.replace("-", "_")
    for row in LIMITS:
        if row.keyword == wanted:
            return row
    known = (*known_keywords(), "inputs", *CALL_OPTIONS)
    raise ConfigError(f"unknown argument {keyword!r}{did_you_mean(wanted, known)}")


def invariant_name(text: str) -> str:
    """Return the invariant of this name, written with dashes or underscores.

    Raises ConfigError with a suggestion for an unknown one.
    """
    __tracebackhide__ = True
    wanted = text.replace("_", "-")
    if wanted not in NAMES:
        raise ConfigError(f"unknown invariant {text!r}{did_you_mean(wanted, NAMES)}")
    return wanted


def resolve(*layers: tuple[str, Mapping[str, object]]) -> Limits:
    """Return the limits that these layers give; the first layer that names one decides it.

    Each layer is its source ("call", "marker", ...) and keyword -> value; None values are unset.
    A value may be a :class:`Setting`, whose own source is then kept.

    Raises ConfigError for an unknown keyword or a value out of range.

    >>> limits = resolve(("call", {"saturation": 0.1}), ("ini", {"saturation": 0.2}))
    >>> limits["saturation"], limits.source("saturation"), limits.source("variance")
    (0.1, 'call', 'default')
    """
    __tracebackhide__ = True
    chosen: dict[str, Setting] = {}
    for source, values in layers:
        for keyword, value in values.items():
            row = limit_row(keyword)
            if isinstance(value, Setting):
                source_here, value = value.source, value.value
            else:
                source_here = source
            if value is None:
                continue
            number = row.check(value, source_here)
            chosen.setdefault(row.keyword, Setting(number, source_here))
    for row in LIMITS:
        chosen.setdefault(row.keyword, Setting(row.default, "default"))
    return Limits(chosen)


def selected(only: Iterable[str] | str | None, limits: Limits | None = None) -> tuple[str, ...]:
    """Return the invariants to check, in the table's order.

    * With ``only``, those named and ``finite``; else the default ones, and those that a limit asks for.

    Raises ConfigError for an unknown name.

    >>> selected("dead_relu")
    ('finite', 'dead-relu')
    >>> selected(None, resolve(("call", {"reproducible": 3})))[-2:]
    ('symmetry', 'reproducible')
    """
    __tracebackhide__ = True
    if only is None:
        asked = {row.invariant for row in LIMITS if limits is not None and limits.asked(row.keyword)}
        return tuple(row.name for row in INVARIANTS if row.unasked or row.name in asked)
    wanted = {invariant_name(name) for name in ([only] if isinstance(only, str) else only)}
    return tuple(name for name in NAMES if name in wanted or name == "finite")


CALL_OPTIONS = ("batch", "ignore_sites", "mode", "only", "strict")
"""What a marker and a fixture call take besides limits."""


def check_marker(args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    """Raise ConfigError unless these can be the arguments of ``@pytest.mark.initcheck``.

    >>> check_marker((), {"saturation": 0.05, "only": ["saturation"]})
    """
    if args:
        raise ConfigError(f"takes keywords only, got {args[0]!r}; for example saturation=0.05")
    for keyword, value in kwargs.items():
        if keyword in CALL_OPTIONS:
            continue
        if keyword not in known_keywords():
            known = (*known_keywords(), *CALL_OPTIONS)
            raise ConfigError(f"unknown argument {keyword!r}{did_you_mean(keyword, known)}")
        if value is not None:
            limit_row(keyword).check(value, "marker")
    only = kwargs.get("only")
    if isinstance(only, (str, list, tuple)):
        selected(only)
    elif only is not None:
        raise ConfigError(f"only= takes names of invariants, got {only!r}")


_INI_SECTIONS = ("pytest", "tool:pytest", "tool.pytest", "tool.pytest.ini_options")


def unknown_ini_keys(text: str, known: Iterable[str]) -> list[str]:
    """Return the ``initcheck*`` keys of pytest's own sections of a configuration file not in ``known``.

    >>> unknown_ini_keys("[pytest]\\ninitcheck_varianse = 3\\n", ["initcheck_variance"])
    ['initcheck_varianse']
    """
    section, found = "", []
    for line in text.splitlines():
        if heading := re.match(r"\[([^\[\]]+)\]", line):
            section = heading[1].strip()
        key = re.match(r"""["']?(initcheck[\w-]*)["']?\s*[=:]""", line)
        if key and section in _INI_SECTIONS and key[1] not in known:
            found.append(key[1])
    return found


@dataclass(frozen=True)
class RunOptions:
    """What the command line and the ini file ask of one pytest run."""

    collect: bool = False
    only: bool = False
    specs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    root_seed: int = 0
    strict: bool = False
    show_all: bool = False
    json_path: Path | None = None
    html_path: Path | None = None
    sarif_path: Path | None = None
    limits: Mapping[str, Setting] = field(default_factory=dict)
    batch: int | None = None
    allows: tuple[tuple[str, str, str], ...] = ()
    files: tuple[str, ...] | None = None
    encoding: str = "utf-8"
    """That of the terminal or file which pytest writes to."""
    baseline: Baseline | None = None
    root: Path | None = None
    """What paths in reports are relative to."""

    @property
    def compared_with(self) -> Baseline | None:
        """The baseline, unless this run writes it."""
        return None if self.baseline is None or self.baseline.updating else self.baseline

    @property
    def report_paths(self) -> tuple[tuple[str, Path], ...]:
        """The report files that are asked for, with their options.

        >>> [option for option, path in RunOptions(json_path=Path("out.json")).report_paths]
        ['--initcheck-json']
        """
        asked = (
            ("--initcheck-json", self.json_path),
            ("--initcheck-html", self.html_path),
            ("--initcheck-sarif", self.sarif_path),
        )
        return tuple((option, path) for option, path in asked if path is not None)

    @property
    def written_paths(self) -> tuple[tuple[str, Path], ...]:
        """All files that the run leaves behind, with their options."""
        if self.baseline is None or not self.baseline.updating:
            return self.report_paths
        return (*self.report_paths, ("--initcheck-baseline", self.baseline.path))


def allow_fields(line: str) -> tuple[str, str, str]:
    """Split a line of ``initcheck_allow`` into invariant, glob of sites and reason.

    Raises ConfigError for any other form, an unknown invariant or an empty reason.

    >>> allow_fields("dead_relu | backbone.* | pruned on purpose")
    ('dead-relu', 'backbone.*', 'pruned on purpose')
    """
    parts = [part.strip() for part in line.split("|", 2)]
    if len(parts) != 3 or not all(parts):
        raise ConfigError(f"initcheck_allow wants 'INVARIANT | SITES | REASON' per line, got {line!r}")
    return invariant_name(parts[0]), parts[1], parts[2]
