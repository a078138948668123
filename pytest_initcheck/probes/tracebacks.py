"""The user's own traceback, without this package's frames. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])


def first_line(error: BaseException) -> str:
    """Return the line of an exception that says what is wrong.

    Keras puts a heading and terminal colours before the message of an error in a layer.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("Exception encountered when")), "")


def remedy_for(error: BaseException) -> str:
    """Return what to do about an error in a forward pass: no other inputs would mend a wrong name."""
    if isinstance(error, (NameError, ImportError)):
        return f"mend that at {place_of(error)}"
    return "pass inputs= of the shape and dtype that it takes"


def place_of(error: BaseException) -> str:
    """Return where the user's own code raised: the last frame outside of installed packages."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if "site-packages" not in f.filename and _PACKAGE not in f.filename]
    last = theirs[-1] if theirs else frames[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def user_traceback(error: BaseException) -> str:
    """Format an exception with its causes and notes, leaving out the frames of this package."""
    formatted = traceback.TracebackException.from_exception(error)
    waiting = [formatted]
    while waiting:
        item = waiting.pop()
        theirs = [frame for frame in item.stack if not frame.filename.startswith(_PACKAGE)]
        item.stack = traceback.StackSummary.from_list(theirs)
        waiting += [other for other in (item.__cause__, item.__context__) if other is not None]
    return "".join(formatted.format())
