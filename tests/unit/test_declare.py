"""Declarations: what decorators attach, and what they leave alone."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import textwrap

import pytest

import pytest_initcheck as ic
from pytest_initcheck.config import INVARIANTS
from pytest_initcheck.declare import DECORATORS
from pytest_initcheck.errors import ConfigError


class Net:
    """A model class."""


def factory() -> list[int]:
    """Build it."""
    return [1]


def test_a_declared_factory_is_called_like_the_factory():
    declared = ic.model()(factory)
    assert declared() == [1]
    assert declared.__name__ == "factory"
    assert declared.__doc__ == "Build it."
    assert declared.__wrapped__ is factory


def test_a_class_is_left_untouched():
    before = dict(vars(Net))
    declared = ic.model()(Net)
    assert dict(vars(Net)) == before
    assert isinstance(declared(), Net)
    assert isinstance(Net(), declared)
    assert type(pickle.loads(pickle.dumps(Net()))) is Net

    class Wider(declared):
        pass

    assert issubclass(Wider, Net)


def test_decorators_commute():
    decorators = [
        ic.model(ic.normal(4), id="x"),
        ic.preserves_variance(5),
        ic.allow("dead-relu", reason="so"),
        ic.bounded_saturation(0.1),
    ]
    declarations = []
    for order in itertools.permutations(decorators):
        declared = factory
        for decorate in order:
            declared = decorate(declared)
        found = declared.declaration
        declarations.append(
            (found.is_model, found.id, found.invariants, dict(found.limits), found.allows)
        )
    assert all(each == declarations[0] for each in declarations)
    assert declarations[0][2] == ("finite", "variance", "saturation")


def test_every_invariant_has_its_decorator_and_limits_name_it():
    for row in INVARIANTS:
        declared = DECORATORS[row.decorator]()(factory)
        assert row.name in declared.declaration.invariants
        assert getattr(ic, row.decorator) is DECORATORS[row.decorator]
    limits = ic.bounded_saturation(0.1)(factory).declaration.limits
    assert limits["saturation"].value == 0.1
    assert limits["saturation"].source == "@bounded_saturation"


def test_asking_without_a_number_asks_for_the_decorators_own_default():
    limits = ic.normalized_inputs()(factory).declaration.limits
    assert {key: setting.value for key, setting in limits.items()} == {
        "input_mean": 0.0,
        "input_std": 1.0,
    }
    assert ic.preserves_variance()(factory).declaration.limits["variance"].value == 10.0


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: ic.bounded_saturation(limt=0.1), "unknown argument 'limt'; did you mean 'limit'?"),
        (lambda: ic.bounded_saturation(2), "saturation must be above 0 and below 1"),
        (lambda: ic.bounded_saturation("x")(factory), "wants a number"),
        (lambda: ic.stays_finite(1), "too many arguments"),
        (lambda: ic.preserves_variance(factory), "is called first: @ic.preserves_variance()"),
        (lambda: ic.model(Net), "@ic.model is called first"),
        (lambda: ic.model(mode="training"), "mode is 'train' or 'eval'"),
        (lambda: ic.model()(3), "a factory is called to build the model; got int"),
        (lambda: ic.model()(ic.model()(factory)), "factory is declared already"),
        (lambda: ic.family(), "needs a strategy per argument"),
        (lambda: ic.allow("dead-relu", reason=" "), "needs a reason"),
        (lambda: ic.allow("dead", reason="x"), "unknown invariant 'dead'"),
    ],
)
def test_what_cannot_be_declared(declare, message):
    with pytest.raises(ConfigError) as caught:
        declare()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_it_was_declared_is_where_it_was_decorated():
    shared = ic.model(ic.normal(4))
    first = shared(factory).declaration
    second = shared(list).declaration
    assert first.module == __name__
    assert first.path == __file__
    assert first.line + 1 == second.line


def test_marks_survive_every_decorator():
    marked = pytest.mark.xfail(ic.model()(factory))
    declared = ic.preserves_variance()(marked)
    assert [mark.name for mark in declared.pytestmark] == ["xfail"]
    assert not hasattr(factory, "pytestmark")


def test_the_name_that_a_second_declaration_hides_is_remembered(tmp_path):
    source = textwrap.dedent(
        """
        import pytest_initcheck as ic
        @ic.model(id="a")
        def net(): ...
        @ic.model(id="b")
        def net(): ...
        """
    )
    path = tmp_path / "declaring.py"
    path.write_text(source)
    namespace = {"__name__": "declaring"}
    code = compile(source, str(path), "exec")
    exec(code, namespace)
    hidden = namespace["net"].declaration.hides
    assert hidden.declaration.id == "a"
    assert hidden.declaration.hides is None


def test_reloading_a_module_hides_nothing():
    source = "import pytest_initcheck as ic\n@ic.model()\ndef net(): ...\n"
    namespace = {"__name__": "reloaded"}
    for _ in range(2):
        exec(compile(source, "reloaded.py", "exec"), namespace)
    assert namespace["net"].declaration.hides is None


def test_declaring_imports_neither_hypothesis_nor_a_framework_nor_pytest():
    program = (
        "import sys; import pytest_initcheck as ic; ic.preserves_variance()(ic.model('normal:4')(list)); "
        "print(sorted({'numpy', 'hypothesis', 'torch', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
