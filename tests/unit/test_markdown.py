"""Hostile text in Markdown."""

from __future__ import annotations

import pytest

from pytest_initcheck.report.markdown import escaped, fenced


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>", "&lt;script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("[x](javascript:y)", r"\[x\](javascript\:y)"),
        ("![x](y)", r"\!\[x\](y)"),
        ("a | b", r"a \| b"),
        ("`code`", r"\`code\`"),
        ("_a_ *b* ~c~", r"\_a\_ \*b\* \~c\~"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("1. item", r"1\. item"),
        ("===", r"\==="),
        ("https://x.y", r"https\://x.y"),
        ("www.x.y", r"www\.x.y"),
        ("@team", r"\@team"),
        ("$x$", r"\$x\$"),
        (":bug:", r"\:bug:"),
        ("back\\slash", r"back\\slash"),
        ("a\nb", r"a\\nb"),
        ("\x1b[31m\u202e\ud800", r"\\x1b\[31m\\u202e\\ud800"),
        ("dead-relu: 0.52, at most 50 % (fc1)", "dead-relu: 0.52, at most 50 % (fc1)"),
    ],
)
def test_what_would_act_is_shown(text, shown):
    assert escaped(text) == shown


@pytest.mark.parametrize(("line", "fence"), [("x = 1", "```"), ("```", "````"), ("a ````` b", "``````")])
def test_no_line_closes_its_fence(line, fence):
    assert fenced([line]) == [f"{fence}python", line, fence]


def test_a_line_of_code_is_one_line():
    assert fenced(["a\n```\n# b"]) == ["````python", r"a\n```\n# b", "````"]
