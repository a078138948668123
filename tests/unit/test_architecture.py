"""The shape of the package: imports run one way, and each outside library has its rooms.

Every guard is a function over sources, so that it can be shown to fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import pytest_initcheck

PACKAGE = Path(pytest_initcheck.__file__).parent
ROOT = Path(__file__).parents[2]

LAYERS = (
    ("errors", "origins"),
    ("config", "activations", "distributions", "edits", "sequential", "trace"),
    ("declare", "inputs", "numpy", "theory"),
    ("initializers", "libraries", "parametrize", "runs"),
    ("networks", "probes", "profiles", "specs"),
    ("strategies", "factory", "invariants"),
    ("conformance", "evidence", "report", "remedies", "costs", "choices", "misfits"),
    ("baseline", "explain", "sentences", "layer_causes", "unit_variance"),
    ("outcomes", "tensor_causes", "growth_causes", "score_causes", "subject"),
    ("causes", "first_wrong"),
    ("drift", "findings", "replicates", "families"),
    ("diagnosis",),
    ("site_rows", "trials", "initializer_check"),
    ("summary",),
    ("engine",),
    ("model_run", "plugin"),
    ("console", "progress", "run_course", "run_summary"),
    ("collection", "fixture"),
    ("session",),
)
"""From the ground up: a module imports only from layers below its own.

A package counts as one room: its modules may import each other, as long as that makes no circle.
"""

LATE = {
    ("activations.callables", "probes.torch_activations"): "torch callables, where torch is loaded",
    ("report.result", "trials"): "a fix is data, applying it needs the probe of its framework",
    ("plugin", "collection"): "start-up imports as little as possible",
    ("plugin", "console"): "start-up imports as little as possible",
    ("plugin", "fixture"): "start-up imports as little as possible",
    ("plugin", "session"): "start-up imports as little as possible",
}
"""Imports that run upwards, and why; only inside functions."""

ROOMS = {
    "pytest": r"plugin|collection|console|fixture|progress|run_course|session",
    "_pytest": r"nobody",
    "hypothesis": r"strategies\.\w+|families",
    "torch": r"probes\.(torch(_\w+)?|keras_torch)",
    "jax": r"probes\.(jax(_\w+)?|keras_jax)",
    "keras": r"probes\.keras(_\w+)?",
    "tensorflow": r"probes\.(tensorflow(_\w+)?|keras_tensorflow)",
    "flax": r"nobody",
    "equinox": r"nobody",
    "haiku": r"nobody",
    "torchvision": r"nobody",
    "timm": r"nobody",
    "transformers": r"nobody",
    "jinja2": r"nobody",
    "markupsafe": r"nobody",
    "plotly": r"nobody",
}
"""Who may import an outside library."""

LATE_ROOMS = {
    "torch": r"(networks|libraries)\.\w+",
    "jax": r"networks\.\w+",
    "keras": r"networks\.\w+",
    "torchvision": r"libraries\.torchvision(_\w+)?",
    "timm": r"libraries\.timm",
    "transformers": r"libraries\.transformers(_\w+)?",
    "jinja2": r"report\.html",
    "markupsafe": r"report\.html",
    "plotly": r"report\.(html|figures)",
}
"""Who may import an outside library inside a function only."""

STDLIB_ONLY = ("errors", "config", "declare", "specs")
"""Imported at start-up or by user modules: no numpy, Hypothesis or framework behind them."""

FRAMEWORK_SIDE = ("probes", "factory", "networks", "libraries", "conformance")
JUDGING_SIDE = (
    "invariants",
    "evidence",
    "causes",
    "choices",
    "costs",
    "diagnosis",
    "drift",
    "findings",
    "first_wrong",
    "growth_causes",
    "layer_causes",
    "misfits",
    "outcomes",
    "profiles",
    "remedies",
    "report",
    "runs",
    "score_causes",
    "sentences",
    "sequential",
    "tensor_causes",
    "theory",
    "unit_variance",
)
FORBIDDEN_WORDS = {"util", "utils", "helper", "helpers", "manager", "base", "common", "handler", "misc"}


@dataclass(frozen=True)
class Imported:
    """One import: where it stands, what it names, and whether it runs when the module is imported."""

    module: str
    target: str
    late: bool

    def __str__(self) -> str:
        return f"{self.module} imports {self.target}{' in a function' if self.late else ''}"


def sources() -> dict[str, str]:
    """Every module of the package by its dotted name, without the package's own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def statements(node: ast.AST, late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every import statement below, except those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, late
        elif is_type_checking(child):
            continue
        else:
            inside = late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from statements(child, inside)


def imports(modules: Mapping[str, str]) -> Iterator[Imported]:
    """Every import; one of the package's own modules is named without the package."""
    for module, source in modules.items():
        for node, late in statements(ast.parse(source)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                assert isinstance(node, ast.ImportFrom)
                assert node.level == 0, f"{module}: relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                yield Imported(module, own_name(name, modules), late)


def own_name(name: str, modules: Mapping[str, str]) -> str:
    """``pytest_initcheck.theory.gain`` -> ``own:theory``; others stay as they are."""
    if name.split(".")[0] != "pytest_initcheck":
        return name
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in modules:
        parts = parts[:-1]
    return "own:" + ".".join(parts)


def upward(modules: Mapping[str, str]) -> list[str]:
    rank = {name: level for level, layer in enumerate(LAYERS) for name in layer}
    wrong = [f"{name} has no layer" for name in modules if name and room(name) not in rank]
    for item in imports(modules):
        own = item.target.removeprefix("own:")
        if own == item.target or room(item.module) == room(own):
            continue
        if room(item.module) not in rank or room(own) not in rank:
            continue
        late = item.late and (item.module, own) in LATE
        if rank[room(own)] >= rank[room(item.module)] and not late:
            wrong.append(str(item))
    return wrong


def room(module: str) -> str:
    return module.split(".")[0]


def circles(modules: Mapping[str, str]) -> list[str]:
    """Modules that import each other, at once, by any way around."""
    reads: dict[str, set[str]] = {name: set() for name in modules}
    for item in imports(modules):
        own = item.target.removeprefix("own:")
        if own != item.target and own != item.module and not item.late:
            reads[item.module].add(own)
    while leaves := [name for name, read in reads.items() if not read & set(reads)]:
        for name in leaves:
            del reads[name]
    return sorted(reads)


def outside_their_rooms(modules: Mapping[str, str]) -> list[str]:
    wrong = []
    for item in imports(modules):
        library = item.target.split(".")[0]
        late = item.late and re.fullmatch(LATE_ROOMS.get(library, "nowhere"), item.module)
        if library in ROOMS and not re.fullmatch(ROOMS[library], item.module) and not late:
            wrong.append(str(item))
    return wrong


def heavy_at_start_up(modules: Mapping[str, str]) -> list[str]:
    """What the start-up set imports, at once, beyond the standard library and itself."""
    wrong = []
    for item in imports(modules):
        if item.late or item.module not in (*STDLIB_ONLY, "plugin", ""):
            continue
        own = item.target.removeprefix("own:")
        if own == item.target:
            heavy = own.split(".")[0] in ("numpy", "hypothesis", "torch", "jax", "keras", "pytest")
            if heavy and (item.module, own) != ("plugin", "pytest"):
                wrong.append(str(item))
        elif own not in STDLIB_ONLY:
            wrong.append(str(item))
    return wrong


def side(name: str, sides: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in sides)


def across_the_trace(modules: Mapping[str, str]) -> list[str]:
    """What knows a framework does not judge; what judges knows no framework."""
    wrong = []
    for item in imports(modules):
        own = item.target.removeprefix("own:")
        if own == item.target:
            continue
        crosses = (side(item.module, FRAMEWORK_SIDE), side(own, JUDGING_SIDE)) == (True, True)
        back = (side(item.module, JUDGING_SIDE), side(own, FRAMEWORK_SIDE)) == (True, True)
        if back or (crosses and own not in ("theory",)):
            wrong.append(str(item))
    return wrong


def rewritten(modules: Mapping[str, str]) -> list[str]:
    """Modules that pytest would rewrite: their docstring does not opt out."""
    return [
        name or "__init__"
        for name, source in modules.items()
        if "PYTEST_DONT_REWRITE" not in (ast.get_docstring(ast.parse(source)) or "")
    ]


def badly_named(modules: Mapping[str, str]) -> list[str]:
    return [name for name in modules if FORBIDDEN_WORDS & set(re.split(r"[._]", name))]


def with_global_statements(modules: Mapping[str, str]) -> list[str]:
    return [
        name
        for name, source in modules.items()
        if any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(source)))
    ]


def missing_documents(modules: Mapping[str, str]) -> list[str]:
    """Documents that a source refers to and the project does not have."""
    return [
        f"{name or '__init__'} refers to {document}"
        for name, source in modules.items()
        for document in sorted(set(re.findall(r"[\w-]+\.md\b", source)))
        if not ((ROOT / document).exists() or (ROOT / "docs" / document).exists())
    ]


GUARDS = {
    "imports run one way": upward,
    "no circles": circles,
    "outside libraries stay in their rooms": outside_their_rooms,
    "start-up stays light": heavy_at_start_up,
    "the trace is the seam": across_the_trace,
    "pytest rewrites no module": rewritten,
    "names say what a thing is": badly_named,
    "no global statement": with_global_statements,
    "documents referred to exist": missing_documents,
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_the_package_obeys(guard):
    assert guard(sources()) == []


DOC = '"""A module. PYTEST_DONT_REWRITE"""\n'
BROKEN = {
    "upwards": (upward, {"theory": "from pytest_initcheck import engine", "engine": ""}),
    "upwards by name": (upward, {"theory": "from pytest_initcheck.engine import check", "engine": ""}),
    "upwards late": (upward, {"theory": "def f():\n    import pytest_initcheck.engine", "engine": ""}),
    "sideways": (upward, {"theory": "from pytest_initcheck import inputs", "inputs": ""}),
    "late made early": (upward, {"plugin": "from pytest_initcheck import session", "session": ""}),
    "into a package": (
        upward,
        {"trace": "from pytest_initcheck.probes.torch import x", "probes": "", "probes.torch": ""},
    ),
    "circle": (
        circles,
        {
            "probes": "",
            "probes.torch": "from pytest_initcheck.probes.torch_ops import x",
            "probes.torch_ops": "from pytest_initcheck.probes import torch",
        },
    ),
    "no layer": (upward, {"novelty": ""}),
    "pytest": (outside_their_rooms, {"engine": "import pytest"}),
    "pytest inside a function": (
        outside_their_rooms,
        {"engine": "def f():\n    from pytest import mark"},
    ),
    "hypothesis": (outside_their_rooms, {"engine": "from hypothesis import target"}),
    "torch": (outside_their_rooms, {"engine": "import torch.nn"}),
    "a library outside its room": (
        outside_their_rooms,
        {"libraries.timm": "def f():\n    import torchvision"},
    ),
    "a library early": (outside_their_rooms, {"libraries.timm": "import timm"}),
    "torch early": (outside_their_rooms, {"networks": "import torch"}),
    "private pytest": (outside_their_rooms, {"plugin": "from _pytest.config import Config"}),
    "numpy at start-up": (heavy_at_start_up, {"config": "import numpy as np"}),
    "numpy behind start-up": (
        heavy_at_start_up,
        {"plugin": "from pytest_initcheck.inputs import parse", "inputs": ""},
    ),
    "a judging probe": (
        across_the_trace,
        {"probes.numpy": "from pytest_initcheck.invariants import Measure", "invariants": ""},
    ),
    "an invariant that knows a framework": (
        across_the_trace,
        {
            "invariants.variance": "from pytest_initcheck.probes import torch",
            "probes": "",
            "probes.torch": "",
        },
    ),
    "no opt-out": (rewritten, {"theory": '"""Theory."""'}),
    "no docstring": (rewritten, {"theory": "PYTEST_DONT_REWRITE = True"}),
    "utils": (badly_named, {"probes.torch_utils": ""}),
    "manager": (badly_named, {"manager": ""}),
    "global": (with_global_statements, {"theory": "def f():\n    global state\n    state = 1"}),
    "document": (missing_documents, {"theory": '"""See NOWHERE.md 2.1."""'}),
}


@pytest.mark.parametrize(("guard", "modules"), BROKEN.values(), ids=BROKEN)
def test_every_guard_can_fail(guard, modules):
    assert guard(modules)


SOUND = {
    "downwards": (upward, {"engine": "from pytest_initcheck.theory import gain", "theory": ""}),
    "late": (upward, {"plugin": "def f():\n    from pytest_initcheck import session", "session": ""}),
    "within a package": (
        upward,
        {
            "probes": "",
            "probes.torch": "from pytest_initcheck.probes import torch_ops",
            "probes.torch_ops": "",
        },
    ),
    "one way round": (
        circles,
        {
            "engine": "from pytest_initcheck import theory",
            "theory": "def f():\n    import pytest_initcheck.engine",
        },
    ),
    "type checking": (
        outside_their_rooms,
        {"engine": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"},
    ),
    "a library late": (outside_their_rooms, {"libraries.timm": "def f():\n    import timm"}),
    "torch late": (outside_their_rooms, {"networks.torch_layers": "def f():\n    from torch import nn"}),
    "documents": (missing_documents, {"theory": '"""See README.md."""'}),
    "names": (badly_named, {"database": "", "rebased": ""}),
}


@pytest.mark.parametrize(("guard", "modules"), SOUND.values(), ids=SOUND)
def test_no_guard_fails_on_what_is_allowed(guard, modules):
    assert guard(modules) == []


def test_every_guard_is_shown_to_fail():
    assert {guard for guard, _ in BROKEN.values()} == set(GUARDS.values())


def test_the_sources_are_the_whole_package():
    names = set(sources())
    assert {"", "theory", "probes", "probes.torch", "invariants.variance", "report.result"} <= names
    assert len(names) == len(list(PACKAGE.rglob("*.py")))
