"""Files that are there as a whole or not at all."""

import os
import stat

import pytest

import gpunn
from gpunn.io import atomic_path, write_text


def test_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "old")
    write_text(path, "new, grün\n")
    assert path.read_bytes() == "new, grün\n".encode()
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk"), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise OSError("the disk is full")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "notes.txt"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_nothing_is_seen_before_the_end(tmp_path):
    path = tmp_path / "notes.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"


def test_permissions_are_those_of_a_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "notes.txt", "text")
        gpunn.save({"x": gpunn.zeros(2)}, tmp_path / "x.safetensors")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o640, 0o640]


def test_a_link_goes_on_pointing_where_it_did(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "notes.txt")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "notes.txt").read_text() == "text"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        write_text(tmp_path / "nowhere" / "notes.txt", "text")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_text(tmp_path, "text")
