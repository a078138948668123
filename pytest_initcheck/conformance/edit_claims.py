"""What edits have to do, a function for each claim. PYTEST_DONT_REWRITE"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_initcheck.conformance.agreement import close, require, same
from pytest_initcheck.conformance.subject import Subject, as_before, kernel_of, seed_all
from pytest_initcheck.edits import Edit
from pytest_initcheck.errors import ModelError

_EDITS: Mapping[str, float] = {"draw": 0.5, "orthogonal": 1.5, "fill": 0.25, "scale": 2.0}


def edits_change_what_they_say(subject: Subject) -> None:
    name = kernel_of(subject)
    before = subject.parameter(name)
    rows, columns = subject.network.shapes[name]
    wanted = {
        "draw": (0.25, 6 * math.sqrt(2 / before.count)),
        "orthogonal": (1.5**2 / max(rows, columns), 1e-4),
        "fill": (0.0625, 1e-6),
        "scale": (4 * before.second_moment, 1e-5),
    }
    for kind, value in _EDITS.items():
        model = subject.model()
        with as_before(subject):
            seed_all(subject)
            subject.probe.apply(model, [Edit(kind, (before.name,), (value,))], subject.call())
        trace = subject.trace(model)
        after = subject.parameter(name, trace)
        second_moment, tolerance = wanted[kind]
        close(f"second moment after {kind}", after.second_moment, second_moment, tolerance=tolerance)
        same(f"constant after {kind}", after.constant, kind == "fill")
        for other in trace.parameters:
            if other.name != before.name:
                old = next(p for p in subject.traced.parameters if p.name == other.name)
                same(f"{other.name} after {kind} of another", other.second_moment, old.second_moment)


def edits_are_spelled(subject: Subject) -> None:
    parameters = {p.name: p for p in subject.traced.parameters}
    name = subject.parameter(kernel_of(subject)).name
    spelled = {
        kind: subject.probe.spell([Edit(kind, (name,), (value,))], parameters)
        for kind, value in _EDITS.items()
    }
    for kind, code in spelled.items():
        require(code.strip(), f"{kind} is spelled as nothing")
    require(len(set(spelled.values())) == len(spelled), "two edits are spelled alike")


def an_edit_of_what_is_not_there_is_an_error(subject: Subject) -> None:
    model = subject.model()
    try:
        subject.probe.apply(model, [Edit("fill", ("no such weight",), (0.0,))], subject.call())
    except ModelError:
        return
    require(False, "apply() accepts an edit of a parameter that the model does not have")
