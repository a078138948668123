"""Items for declared factories and for ``--initcheck-model``: one per model and invariant.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_initcheck import specs
from pytest_initcheck.console import layout
from pytest_initcheck.declare import Declaration, Declared
from pytest_initcheck.errors import VIOLATIONS, ConfigError, InitCheckError, InitCheckWarning
from pytest_initcheck.model_run import Asker, ModelRun, with_inputs
from pytest_initcheck.origins import origin
from pytest_initcheck.parametrize import bound, variants
from pytest_initcheck.plugin import ENTRY, OPTIONS
from pytest_initcheck.progress import watching
from pytest_initcheck.report.layout import Door, door_of_item, door_of_spec
from pytest_initcheck.report.ledger import Entry
from pytest_initcheck.report.prose import plain

if TYPE_CHECKING:
    from pytest_initcheck.subject import Watch

MODELS_SEEN = pytest.StashKey[int]()
_DEFAULT_FILES = ("models.py",)


Node = pytest.Collector | pytest.Item


class InvariantItem(pytest.Item):
    """One invariant of one model.

    * ``expected`` are the model's xfail marks: they are about the model, not about each invariant.
    """

    def __init__(
        self, *, run: ModelRun, invariant: str, expected: tuple[Any, ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.invariant = invariant
        self.expected = expected
        self.summary = ""
        self.add_marker("initcheck")

    def runtest(self) -> None:
        entry = self.stash[ENTRY] = Entry(self.invariant)
        with watching(self.config, self) as watch:
            outcome = self.run.outcome(self.invariant, self._asker(watch), entry)
        self.summary = outcome.summary
        if self.run.statistics:
            # where Hypothesis looks for what --hypothesis-show-statistics prints
            self.hypothesis_statistics = f"{self.nodeid}:\n\n{self.run.statistics}"
        wrong = outcome.verdict in ("fail", "error")
        if wrong or (outcome.report is not None and outcome.report.ok):
            # an invariant that holds in a model that fails elsewhere is no unexpected pass
            self.own_markers.extend(self.expected)
        if outcome.verdict == "fail":
            raise VIOLATIONS[self.invariant](outcome.text, outcome.report)
        if outcome.verdict == "error" or (outcome.verdict == "inconclusive" and self.run.strict):
            raise InitCheckError(outcome.text, outcome.report)
        if outcome.verdict == "inconclusive":
            self.warn(InitCheckWarning(outcome.text))
        if outcome.verdict == "known":
            pytest.xfail(outcome.text)
        if outcome.verdict in ("vacuous", "skipped"):
            # nothing was tested, which must not look like a pass
            raise pytest.skip.Exception(outcome.text, _use_item_location=True)

    def _asker(self, watch: Watch | None) -> Asker:
        others = {
            item.invariant: item.nodeid
            for item in self.session.items
            if isinstance(item, InvariantItem) and item.run is self.run
        }
        door, baseline = self._door(), self.config.stash[OPTIONS].compared_with
        if baseline is not None:
            door = door.comparing(baseline.shown)
        return Asker(self.nodeid, layout(self.config), door, others, watch)

    def _door(self) -> Door:
        options = self.config.stash[OPTIONS]
        spec = "" if self.parent is None else self.parent.nodeid
        if spec not in options.specs:
            return door_of_item(self.nodeid)
        inputs = options.inputs or ("",)
        return door_of_spec(spec, inputs[options.specs.index(spec) if len(inputs) > 1 else 0])

    def reportinfo(self) -> tuple[Path, int, str]:
        declaration = self.run.declaration
        path = Path(declaration.path) if declaration.path else self.path
        assert self.parent is not None
        model = self.parent.name + getattr(self.parent, "suffix", "")
        # pytest takes a dot in a heading that ends the id for one between class and method
        joint = ": " if "." in model.partition("[")[0] else "::"
        return path, max(declaration.line - 1, 0), f"{model}{joint}{self.invariant}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if not isinstance(excinfo.value, (InitCheckError, InitCheckWarning)):
            return super().repr_failure(excinfo, style)
        # the text alone, without a traceback of ours
        shown: Any = excinfo.getrepr(style="value", chain=False)
        traceback, place, _ = shown.chain[-1]
        path, line, _ = self.reportinfo()
        said = self.summary or str(excinfo.value).splitlines()[0]
        return type(shown)([(traceback, type(place)(str(path), line + 1, said), None)])


class ModelNode(pytest.Collector):
    """A model; its items share one run of the engine.

    * ``suffix`` is its variant in brackets. Its items bear it, as those of parametrized tests do:
      pytest takes what follows the first bracket of an id for a parameter.
    """

    def __init__(
        self,
        *,
        factory: Any,
        declaration: Declaration,
        suffix: str = "",
        marks: Iterable[Any] = (),
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.factory, self.declaration, self.suffix = factory, declaration, suffix
        self.arguments = dict(arguments or {})
        self.expected: list[Any] = []
        for mark in marks:
            mark = getattr(mark, "mark", mark)
            if mark.name == "xfail" and mark.kwargs.get("run", True):
                self.expected.append(mark)
                continue
            self.own_markers.append(mark)
            self.keywords[mark.name] = mark

    def collect(self) -> Iterator[pytest.Item]:
        try:
            run = ModelRun(
                id=self.nodeid + self.suffix,
                name=self.name,
                factory=bound(self.factory, self.arguments),
                declaration=self.declaration,
                options=self.config.stash[OPTIONS],
                marks=tuple(mark.kwargs for mark in self.iter_markers("initcheck")),
                arguments=self.arguments,
            )
        except ConfigError as error:
            yield _broken(self, f"declaration{self.suffix}", str(error))
            return
        for invariant in run.invariants:
            yield InvariantItem.from_parent(
                self,
                name=invariant + self.suffix,
                # as text, which pytest reads as it reads an id that a user types
                nodeid=f"{self.nodeid}::{invariant}{self.suffix}",
                run=run,
                invariant=invariant,
                expected=tuple(self.expected),
            )


class BrokenDeclaration(pytest.Item):
    """A declaration that cannot be used: an error that says why in one line.

    An item, since a collector that fails would take the other tests of the run with it.
    """

    def __init__(self, *, reason: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reason = reason
        self.add_marker("initcheck")

    def setup(self) -> None:
        pytest.fail(f"{self.nodeid}: {self.reason}", pytrace=False)

    def runtest(self) -> None:
        raise AssertionError("a broken declaration has nothing to run")


class ModelFile(pytest.Module):
    """A file of ``initcheck_files``: its declared models are collected, its tests are not."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        for name, value in list(vars(self.obj).items()):
            if type(value) is Declared:
                yield from declared_nodes(self, name, value)


def declared_nodes(collector: Any, name: str, declared: Declared) -> list[Node]:
    """Return the nodes of a declared factory that a module or class binds to this name.

    None where it was only imported, or under its second name.
    """
    module = collector.getparent(pytest.Module).obj
    declaration = declared.declaration
    home = declaration.module if declaration.is_model else declared.__module__
    names = [key for key, value in vars(collector.obj).items() if value is declared]
    if home != module.__name__ or names[:1] not in ([], [name]):
        return []
    if declaration.problems:
        return [_broken(collector, name, "; ".join(declaration.problems))]
    if not declaration.is_model:
        return [
            _broken(collector, name, "lacks @ic.model: add @ic.model(inputs=...) to declare the model")
        ]
    chain = [declared]
    while chain[0].declaration.hides is not None:
        chain.insert(0, chain[0].declaration.hides)
    ids = [each.declaration.id for each in chain]
    if len(set(ids)) < len(ids):
        lines = " and ".join(str(each.declaration.line) for each in chain)
        reason = f"is declared more than once (lines {lines}); tell them apart with @ic.model(id=...)"
        return [_broken(collector, name, reason)]
    return [node for each in chain for node in model_nodes(collector, name, each, each.declaration)]


def model_nodes(
    parent: Any, name: str, declared: Any, declaration: Declaration, nodeid: str | None = None
) -> list[Node]:
    """Return a node for each variant of a factory that parametrize asks for."""
    factory = declared.factory if isinstance(declared, Declared) else declared
    marks = [getattr(mark, "mark", mark) for mark in _marks(declared)]
    hook = parent.config.hook

    def named(value: Any, argname: str) -> str | None:
        found: str | None = hook.pytest_make_parametrize_id(
            config=parent.config, val=value, argname=argname
        )
        return found

    if any(mark.name == "usefixtures" for mark in marks):
        reason = "fixtures do not reach a declared model; build what it needs in the factory"
        return [_broken(parent, name, reason, nodeid)]
    try:
        found = variants(marks, factory, named)
    except ConfigError as error:
        return [_broken(parent, name, str(error), nodeid)]
    others = [mark for mark in marks if mark.name != "parametrize"]
    nodes: list[Node] = []
    for variant in found:
        brackets = "-".join(part for part in (declaration.id, variant.id) if part)
        # pytest prints ids as they are: a new line in one could begin a command of a log's reader
        suffix = plain(f"[{brackets}]") if brackets else ""
        own: list[Any] = [*others, *variant.marks]
        if variant.empty:
            own.append(pytest.mark.skip(reason="got an empty parameter set").mark)
        nodes.append(
            ModelNode.from_parent(
                parent,
                name=name,
                suffix=suffix,
                factory=factory,
                declaration=declaration,
                marks=own,
                arguments=variant.arguments,
                **({} if nodeid is None else {"nodeid": nodeid}),
            )
        )
    return nodes


def _marks(declared: Any) -> list[Any]:
    marks = getattr(declared, "pytestmark", [])
    return list(marks) if isinstance(marks, (list, tuple)) else [marks]


def _broken(parent: Any, name: str, reason: str, nodeid: str | None = None) -> BrokenDeclaration:
    more = {} if nodeid is None else {"nodeid": nodeid}
    node: BrokenDeclaration = BrokenDeclaration.from_parent(parent, name=name, reason=reason, **more)
    return node


class Collection:
    """What ``--initcheck`` adds to collection; registered only when it is asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self.options = config.stash[OPTIONS]
        self.files = self.options.files or _DEFAULT_FILES
        self.models = [self._loaded(config, index) for index in range(len(self.options.specs))]

    def _loaded(self, config: pytest.Config, index: int) -> tuple[str, Any, Declaration]:
        spec, directory = self.options.specs[index], config.invocation_params.dir
        if spec in self.options.specs[:index]:
            raise ConfigError(f"--initcheck-model {spec} is given twice")
        needed = specs.search_path(spec, directory)
        folder = str(needed)
        if needed is not None and folder not in sys.path:
            sys.path.insert(0, folder)
            config.add_cleanup(lambda: sys.path.remove(folder) if folder in sys.path else None)
        found = specs.load(spec, directory)
        inputs = None
        if self.options.inputs:
            from pytest_initcheck.inputs import parse

            texts = self.options.inputs
            inputs = parse(texts[index] if len(texts) > 1 else texts[0])
        if isinstance(found, Declared):
            return spec, found, with_inputs(found.declaration, inputs)
        path, line = origin(found)
        return spec, found, Declaration(is_model=True, inputs=inputs, path=path, line=line)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> ModelFile | None:
        if file_path.suffix != ".py" or not _matches(file_path, self.files):
            return None
        is_test_file = _matches(file_path, parent.config.getini("python_files"))
        if is_test_file or parent.session.isinitpath(file_path):
            return None  # pytest collects it itself
        if self.options.files is None and b"initcheck" not in file_path.read_bytes():
            # a models.py of something else, Django say, may not even import outside of it
            return None
        node: ModelFile = ModelFile.from_parent(parent, path=file_path)
        return node

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        for spec, found, declaration in self.models:
            for node in model_nodes(session, spec, found, declaration, nodeid=spec):
                items.extend(session.genitems(node))
        own = [item for item in items if isinstance(item, (InvariantItem, BrokenDeclaration))]
        config.stash[MODELS_SEEN] = len({id(getattr(item, "run", item)) for item in own})
        if self.options.only:
            rest = [item for item in items if not isinstance(item, InvariantItem)]
            config.hook.pytest_deselected(items=rest)
            items[:] = own

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["initcheck_models"] = session.config.stash.get(MODELS_SEEN, 0)


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(
        fnmatch.fnmatch(path.as_posix() if "/" in pattern else path.name, _anchored(pattern))
        for pattern in patterns
    )


def _anchored(pattern: str) -> str:
    return f"*/{pattern}" if "/" in pattern and not pattern.startswith("/") else pattern
