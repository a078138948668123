"""Where a factory stands in the user's files. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any


def origin(factory: Any) -> tuple[str, int]:
    """Return the file and the first line of a factory, ("", 0) where Python does not know them.

    >>> Path(origin(origin)[0]).name
    'origins.py'
    >>> origin(functools.partial(len)), origin(3)
    (('', 0), ('', 0))
    """
    while isinstance(factory, functools.partial):
        factory = factory.func
    try:
        path = inspect.getsourcefile(factory)
        _, line = inspect.getsourcelines(factory)
    except (TypeError, OSError):
        return "", 0
    return path or "", max(line, 1)


def relative(path: str, root: Path | None) -> str:
    """Return a path as reports show it: from the root of the run where it is inside, with slashes.

    >>> relative("/a/tests/models.py", Path("/a")), relative("/b/models.py", Path("/a"))
    ('tests/models.py', '/b/models.py')
    """
    if not path or root is None:
        return path
    found = Path(path)
    return (found.relative_to(root) if found.is_relative_to(root) else found).as_posix()
