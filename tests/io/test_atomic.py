"""Files that are there as a whole or not at all."""

import os
import stat
import subprocess
import sys

import pytest

import gpunn
from gpunn.io import atomic_path, remove_leftovers, write_text


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


def test_what_can_not_be_written_is_named(tmp_path):
    """Errors of the file that is written on the way become errors of the one that was asked for; others stay."""
    path = tmp_path / "notes.txt"
    with pytest.raises(OSError) as caught, atomic_path(path):
        raise OSError(28, "No space left on device")
    assert (caught.value.errno, caught.value.filename) == (28, str(path))
    with pytest.raises(FileNotFoundError) as caught, atomic_path(path):
        (tmp_path / "other").read_text()
    assert caught.value.filename == str(tmp_path / "other")


def test_leftovers_of_dead_processes_go(tmp_path):
    """Not what is being written: here, and in another process; nor files of others that look a little like them."""
    code = f"""if True:
        import os, sys
        from gpunn.io import atomic_path
        with atomic_path({str(tmp_path / "notes.txt")!r}) as temporary:
            temporary.write_text("half")
            (temporary.parent / "of a library").write_text("half too")
            print("written", flush=True)
            if sys.stdin.readline() == "die\\n":
                os._exit(1)
    """
    root = os.path.dirname(os.path.dirname(gpunn.__file__))

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "written\n"
        return process

    dead, alive = start(), start()
    dead.communicate("die\n")
    (tmp_path / ".notes.txt.backup.tmp").mkdir()
    # Of an earlier process with the number of this one, as containers give them.
    (tmp_path / f".notes.txt.{os.getpid()}-0123abcd-0.tmp").mkdir()
    with atomic_path(tmp_path / "mine") as temporary:
        remove_leftovers(tmp_path)
        kept = {path.name for path in tmp_path.iterdir()}
        temporary.write_text("mine")
    assert len(kept) == 3
    assert {".notes.txt.backup.tmp", temporary.parent.name} < kept
    assert any(f".{alive.pid}-" in name for name in kept)
    alive.communicate("go on\n")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.txt.backup.tmp", "mine", "notes.txt"]
