"""Report files are whole, and refused early where they cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_initcheck.report.files import check_writable, write_whole


def test_check_writable(tmp_path):
    fresh, old = tmp_path / "new" / "out.json", tmp_path / "old.json"
    check_writable(fresh)
    assert fresh.parent.is_dir()
    assert not fresh.exists()
    old.write_text("kept")
    check_writable(old)
    assert old.read_text() == "kept"
    with pytest.raises(OSError, match="directory"):
        check_writable(tmp_path)


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.html"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new" * 10_000 + "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_is_no_file_is_written_to(tmp_path):
    write_whole(Path(os.devnull), "gone")
    assert not Path(os.devnull).is_file()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "text")
