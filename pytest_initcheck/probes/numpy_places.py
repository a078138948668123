"""Where in the user's code something happens. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import dis
import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

_NUMPY = str(Path(np.__file__).parent)
_SCIPY = str(Path(np.__file__).parents[1] / "scipy")
_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's code.

    >>> Place("/home/me/net.py", 12, "forward").label
    'forward:12'
    """

    file: str
    line: int
    function: str

    @property
    def label(self) -> str:
        return f"{self.function}:{self.line}"

    def __str__(self) -> str:
        return f"{_shortened(self.file)}:{self.line} in {self.function}"

    @property
    def source(self) -> str:
        """Return the line's text, empty where the file is not there."""
        return linecache.getline(self.file, self.line).strip()


NOWHERE = Place("", 0, "")


def _shortened(file: str) -> str:
    """Return the path relative to where Python runs, if it lies there."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file


def _foreign(code: CodeType) -> bool:
    return code.co_filename.startswith((_NUMPY, _SCIPY, _PACKAGE))


def user_frame() -> FrameType | None:
    """Return the innermost frame that is neither NumPy's, nor SciPy's, nor this package's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _foreign(frame.f_code):
        frame = frame.f_back
    return frame


def instruction() -> tuple[str, int]:
    """Return what the user's code is at: the instruction's name and its argument."""
    frame = user_frame()
    if frame is None:
        return "", 0
    code = frame.f_code.co_code
    return dis.opname[code[frame.f_lasti]], code[frame.f_lasti + 1]


def _augmented_argument() -> int:
    code = compile("a += b", "", "exec").co_code
    names = [dis.opname[item] for item in code[::2]]
    return code[2 * names.index("BINARY_OP") + 1]


_FIRST_AUGMENTED = _augmented_argument()


def at_augmented_assignment() -> bool:
    """Tell whether the user's code is at an assignment such as ``h += z``."""
    name, argument = instruction()
    return name == "BINARY_OP" and _FIRST_AUGMENTED <= argument < 2 * _FIRST_AUGMENTED


def here() -> Place:
    """Return where in the user's code this is.

    A comprehension is told as the function that it stands in.
    """
    frame = user_frame()
    if frame is None:
        return Place("<unknown>", 0, "forward")
    line, code = frame.f_lineno, frame.f_code
    while code.co_name.startswith("<") and code.co_name != "<lambda>" and frame.f_back is not None:
        frame = frame.f_back
        code = frame.f_code
    return Place(frame.f_code.co_filename, line, code.co_name.strip("<>"))
