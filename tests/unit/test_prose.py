"""Text that is escaped, measured, shortened and wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.report.prose import (
    clipped,
    columns,
    labelled,
    number,
    plain,
    share,
    sharing,
    shortened,
    wrapped,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60).map(plain)


@pytest.mark.parametrize("evil", ["a\x1b[31mb", "a\rb", "a\nb", "a\u202eb", "a\x00b", "a\x9bb"])
def test_what_moves_the_cursor_or_hides_is_escaped(evil):
    assert plain(evil).isprintable()
    assert plain(plain(evil)) == plain(evil)


def test_ordinary_text_is_left_alone():
    assert plain("größe ≤ 3 µ") == "größe ≤ 3 µ"


def test_columns_of_wide_and_of_combining_characters():
    assert columns("层1") == 3
    assert columns("e\u0301") == 1


@given(TEXTS, st.integers(5, 40))
def test_a_shortened_text_has_room(text, most):
    assert columns(shortened(text, most)) <= most
    assert columns(clipped(text, most)) <= most


def test_a_shortened_text_keeps_both_ends():
    assert shortened("encoder.layers.11.linear1", 15) == "encode...inear1"
    assert shortened("层层层层层层层层", 9) == "层...层层"
    assert shortened("fc", 2) == "fc"


@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(20, 60))
def test_names_share_the_room(names, room):
    shared = sharing(room, names)
    assert sum(map(columns, shared)) <= room
    if sum(map(columns, names)) <= room:
        assert shared == names


@given(TEXTS, st.integers(20, 80))
def test_no_wrapped_line_is_longer_than_the_width(text, width):
    lines = wrapped(text, width, "  cause   ", "          ")
    assert max(map(columns, lines)) <= width


def test_words_are_kept_whole_where_they_fit():
    text = "the signal falls six times per layer and the rest of the words follow"
    lines = wrapped(text, 40)
    assert " ".join(lines) == text
    assert wrapped("x" * 50, 40) == ["x" * 40, "x" * 10]


def test_a_number_and_its_per_cent_stay_together():
    assert wrapped("a matched init shows 2 % here", 22) == ["a matched init shows", "2 % here"]


def test_two_spaces_stay_two():
    assert wrapped("FAIL net  fc1: it falls", 80) == ["FAIL net  fc1: it falls"]


def test_a_label_has_no_text_no_line():
    assert list(labelled("cause", "")) == []
    assert list(labelled("unobserved", "lstm: fused")) == ["  unobserved lstm: fused"]


def test_numbers_that_are_none():
    assert (number(None), share(None), share(float("nan"))) == ("-", "-", "nan")
