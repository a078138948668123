"""What stands out in a report, and that the text is not touched."""

from __future__ import annotations

import pytest

from pytest_initcheck.report.markup import segments


@pytest.mark.parametrize(
    ("line", "markup"),
    [
        ("variance FAIL net  fc1: signal falls 6x per layer", {"red": True, "bold": True}),
        ("FAIL m.py::net: variance", {"red": True, "bold": True}),
        ("ERROR net  the factory raised", {"red": True, "bold": True}),
        ("dead-relu INCONCLUSIVE net: undecided", {"yellow": True}),
        ("> fc1  linear  0.3", {"red": True}),
        ("             ^ first wrong: fc1", {"red": True}),
        ("      first wrong: fc1 ^", {}),
        ("           first wrong: fc1 ^", {"red": True}),
        ("            nn.init.zeros_(m.bias)", {"cyan": True}),
        ("            x = x ^ y", {"cyan": True}),
        ("  fc1  linear  0.3", {}),
        ("  said otherwise", {}),
        ("", {}),
    ],
)
def test_whole_lines(line, markup):
    assert segments(line) == [(line, markup)]


@pytest.mark.parametrize(
    ("line", "markup"),
    [
        ("  cause   init gain", {}),
        ("  tried   passes, 1.02x per layer", {"green": True}),
        ("  tried   variance still fails", {"yellow": True}),
        ("  repeat  pytest m.py", {"cyan": True}),
        ("  unobserved lstm", {}),
    ],
)
def test_labels_are_bold(line, markup):
    label, text = segments(line)
    assert label[1] == {"bold": True}
    assert text[1] == markup
    assert label[0] + text[0] == line
