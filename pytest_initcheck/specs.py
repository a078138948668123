"""Model specs of the command line: ``pkg.mod:name``, ``path.py:name`` and the libraries' ``hf:name``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_initcheck.errors import ConfigError, did_you_mean


def split(spec: str) -> tuple[str, str]:
    """Return the module (or file) and the name in it.

    Raises ConfigError for any other form.

    >>> split("pkg/models.py:Classifier")
    ('pkg/models.py', 'Classifier')
    """
    place, _, name = spec.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"cannot read model {spec!r}; wanted pkg.mod:name, path.py:name or hf:name")
    if not _is_file(place) and not all(part.isidentifier() for part in place.split(".")):
        raise ConfigError(
            f"cannot read model {spec!r}: {place!r} is neither a module nor a file that ends in .py"
        )
    return place, name


LIBRARIES = ("hf", "hf-tiny", "timm", "torchvision")
"""Prefixes of models that libraries have under a name."""


def of_library(spec: str) -> tuple[str, str] | None:
    """Return the library's prefix and the model's name; None for a module or a file.

    >>> of_library("hf:./my_model"), of_library("pkg.mod:name")
    (('hf', './my_model'), None)
    """
    prefix, colon, name = spec.partition(":")
    return (prefix, name) if colon and prefix in LIBRARIES else None


def _is_file(place: str) -> bool:
    return place.endswith(".py")


def search_path(spec: str, directory: Path) -> Path | None:
    """Return the folder that ``sys.path`` needs for a spec: the caller's, or the file's import root.

    >>> str(search_path("pkg.mod:name", Path("project"))), search_path("timm:resnet18", Path("project"))
    ('project', None)
    """
    if of_library(spec):
        return None
    place, _ = split(spec)
    return import_root(directory / place) if _is_file(place) else directory


def import_root(file: Path) -> Path:
    """Return the folder from which a file is imported: the first one above that is no package."""
    folder = file.resolve().parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def load(spec: str, directory: Path) -> Any:
    """Return the object that a spec names; a file is relative to ``directory``.

    ``sys.path`` must hold :func:`search_path` already. A library's model comes as a declared factory.

    Raises ConfigError, in one line, if it cannot be imported or has no such name.
    """
    library = of_library(spec)
    if library is not None:
        return _of_library(spec, *library, directory)
    place, name = split(spec)
    try:
        module = _load_file(directory / place) if _is_file(place) else importlib.import_module(place)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        raise ConfigError(f"cannot import model {spec!r}: {_one_line(error, place)}") from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [each for each in vars(module) if not each.startswith("_")]
            raise ConfigError(f"{place} has no {name!r}{did_you_mean(name, known)}")
        found = getattr(found, part)
    return found


def _of_library(spec: str, prefix: str, name: str, directory: Path) -> Any:
    from pytest_initcheck.declare import Declaration, Declared
    from pytest_initcheck.libraries import blueprint

    if not name:
        example = f"{prefix}:{_EXAMPLES[prefix]}"
        raise ConfigError(f"cannot read model {spec!r}: a name follows the colon, as in {example}")
    try:
        found = blueprint(prefix, name, directory)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever the library does when it is imported
        raise ConfigError(f"cannot import model {spec!r}: {_one_line(error, prefix)}") from error
    found.factory.__name__ = found.factory.__qualname__ = spec
    return Declared(found.factory, Declaration(is_model=True, inputs=found.inputs))


_EXAMPLES = {"hf": "gpt2", "hf-tiny": "gpt2", "timm": "resnet18", "torchvision": "resnet18"}


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"no such file: {path}")
    path = path.resolve()
    dotted = ".".join(path.relative_to(import_root(path)).with_suffix("").parts)
    loaded = sys.modules.get(dotted)
    if loaded is not None and _file_of(loaded) == path:
        return loaded
    if "." in dotted:
        return importlib.import_module(dotted.removesuffix(".__init__"))
    found = importlib.util.find_spec(dotted) if loaded is None else None
    if found is not None and found.origin and Path(found.origin).resolve() == path:
        return importlib.import_module(dotted)
    # another module has this name: two projects' models.py, or one called like the standard library
    unique = f"{dotted}_{zlib.crc32(str(path).encode()):08x}"
    loader_spec = importlib.util.spec_from_file_location(unique, path)
    if loader_spec is None or loader_spec.loader is None:
        raise ConfigError(f"{path} is no Python module")
    module = sys.modules.get(unique)
    if module is None:
        module = importlib.util.module_from_spec(loader_spec)
        sys.modules[unique] = module
        try:
            loader_spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[unique]
            raise
    return module


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _one_line(error: BaseException, place: str) -> str:
    """Describe an exception with the last line of the user's that it passed."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        text += ' (python -m pip install "pytest-initcheck[torch]")'
    if isinstance(error, ModuleNotFoundError) and error.name in (place, place.split(".")[0]):
        near = difflib.get_close_matches(place, LIBRARIES, n=1)
        meant = f"did you mean {near[0]}:NAME, or " if near else ""
        return f"{type(error).__name__}: {text}; {meant}run pytest where {error.name} can be imported"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and Path(frame.filename).name != "specs.py"
    ]
    frames = [frame for frame in frames if "importlib" not in Path(frame.filename).parts]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"
