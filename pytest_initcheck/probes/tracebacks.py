"""The user's own traceback, without this package's frames. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])


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
