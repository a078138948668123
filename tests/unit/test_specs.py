"""Model specs of the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_initcheck.errors import ConfigError
from pytest_initcheck.specs import import_root, load, of_library, search_path, split


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("pkg.mod:name", ("pkg.mod", "name")),
        ("path/to/file.py:Class.method", ("path/to/file.py", "Class.method")),
        (r"C:\models\zoo.py:net", (r"C:\models\zoo.py", "net")),
        ("my-models.py:net", ("my-models.py", "net")),
    ],
)
def test_split(spec, parts):
    assert split(spec) == parts


@pytest.mark.parametrize("spec", ["", "name", ":name", "mod:", "mod:1x", "mod:a b", "a-b:c", "mod:a..b"])
def test_what_is_no_spec(spec):
    with pytest.raises(ConfigError, match="cannot read model"):
        split(spec)


def test_the_import_root_is_above_all_packages(tmp_path):
    package = tmp_path / "a" / "b"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    assert import_root(package / "m.py") == tmp_path
    assert search_path("a/b/m.py:x", tmp_path) == tmp_path
    assert search_path("a.b.m:x", Path("/somewhere")) == Path("/somewhere")
    assert search_path("timm:resnet18", Path("/somewhere")) is None


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("hf:gpt2", ("hf", "gpt2")),
        ("hf-tiny:./my_model", ("hf-tiny", "./my_model")),
        (r"hf:C:\models\mine", ("hf", r"C:\models\mine")),
        ("timm:", ("timm", "")),
        ("hf.py:net", None),
        ("my_hf:net", None),
        ("hf", None),
    ],
)
def test_a_library_has_a_prefix_of_its_own(spec, parts):
    assert of_library(spec) == parts


@pytest.fixture
def clean_modules(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("clean_modules")
def test_two_files_of_one_name_are_two_modules(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "models.py").write_text(f"which = {name!r}\n")
    assert load("one/models.py:which", tmp_path) == "one"
    assert load("two/models.py:which", tmp_path) == "two"
    assert load("one/models.py:which", tmp_path) == "one"


@pytest.mark.usefixtures("clean_modules")
def test_a_file_named_like_the_standard_library(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "json.py").write_text("mine = True\n")
    assert load("sub/json.py:mine", tmp_path) is True
    import json

    assert not hasattr(json, "mine")


@pytest.mark.usefixtures("clean_modules")
def test_a_module_that_is_imported_already_is_not_executed_again(tmp_path):
    (tmp_path / "counted_zoo.py").write_text("things = []\n")
    first = load("counted_zoo.py:things", tmp_path)
    assert load("counted_zoo:things", tmp_path) is first


@pytest.mark.usefixtures("clean_modules")
def test_a_missing_framework_is_named_with_its_remedy(tmp_path):
    (tmp_path / "needs_it.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    with pytest.raises(ConfigError, match=r'pip install "pytest-initcheck\[torch\]"') as caught:
        load("needs_it.py:net", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("clean_modules")
def test_a_failing_file_leaves_no_half_module(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "json.py").write_text("1 / 0\n")
    before = set(sys.modules)
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        load("sub/json.py:x", tmp_path)
    assert not {name for name in set(sys.modules) - before if name.startswith("json_")}
