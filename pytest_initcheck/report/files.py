"""Report files: refused before a run if they cannot be written, whole whenever they exist.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from pathlib import Path


def check_writable(path: Path) -> None:
    """Make the folders above a path and raise OSError unless a file can be written there.

    A file that is there already keeps its content, one that is not is not left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    with path.open("a", encoding="utf-8"):
        pass
    if not existed:
        path.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write the text so that a reader finds the old file or the new one, never a part of it.

    Raises OSError if the file cannot be written.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp(), "report.html")
    >>> write_whole(target, "whole")
    >>> target.read_text()
    'whole'
    """
    target = path.resolve()  # a link stays a link
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")  # a pipe or a terminal cannot be replaced
        return
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
