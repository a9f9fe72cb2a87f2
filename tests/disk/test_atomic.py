import errno
import os
import stat
import urllib.error
from pathlib import Path

import pytest
import torch

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.tensor_file import write_tensors
from aqa_cache.errors import AqaError


@pytest.fixture
def path(tmp_path):
    (tmp_path / "file").write_text("old")
    return tmp_path / "file"


def left(path):
    """What is there of the file and beside it, after nothing was changed."""
    assert path.read_text() == "old"
    return [entry.name for entry in path.parent.iterdir() if entry != path]


def test_the_new_file_takes_the_place_of_the_old_one_when_the_block_ends(path):
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == path.parent
        assert temporary.match(f".{path.name}.*.tmp")
    assert path.read_text() == "new" and [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_file_may_be_read_by_whom_the_umask_allows(tmp_path, mask):
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "text") as temporary:
            temporary.write_text("new")
        write_tensors(tmp_path / "w.safetensors", {"w": torch.zeros(1)})
    finally:
        os.umask(before)
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask, file


def test_the_umask_of_the_process_is_never_set(path, monkeypatch):
    # Files that other threads make at that instant would get no mask at all.
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was set"))
    with replacing(path) as temporary:
        temporary.write_text("new")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        OSError("4096 requested and 0 written"),  # numpy
        OSError("Can't synchronously write data"),  # HDF5
    ],
)
def test_what_cannot_be_written_is_one_message(path, error):
    with pytest.raises(AqaError) as raised, replacing(path):
        raise error
    assert str(raised.value) == f"{path}: writing failed ({error}); nothing was changed"
    assert left(path) == []


def test_a_temporary_file_that_is_gone_is_one_message(path):
    with pytest.raises(AqaError, match="file: writing failed .*No such file.*nothing was changed"):
        with replacing(path) as temporary:
            temporary.unlink()
    with pytest.raises(AqaError, match="file: writing failed .*Permission denied.*nothing was changed"):
        with replacing(path) as temporary:
            raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert left(path) == []


@pytest.mark.parametrize(
    "fail",
    [
        lambda folder: (folder / "another").read_text(),
        lambda folder: os.listdir(folder / "another"),
        lambda folder: (_ for _ in ()).throw(urllib.error.URLError("refused")),
        lambda folder: (_ for _ in ()).throw(ConnectionResetError(errno.ECONNRESET, "reset")),
        lambda folder: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full", str(folder / "another"))),
    ],
)
def test_what_fails_for_another_reason_keeps_its_meaning(path, fail):
    with pytest.raises(OSError) as raised, replacing(path):
        fail(Path(path.parent))
    assert "writing failed" not in str(raised.value)
    assert left(path) == []


def made_fifo(path):
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (made_fifo, "is no plain file, but a pipe or a device"),
        (lambda path: Path(os.devnull), "is no plain file, but a pipe or a device"),
        (lambda path: path.parent, "is a folder, expected the name of a file"),
        (lambda path: path.with_name("x" * 300), "cannot be written.*File name too long"),
        (lambda path: path.with_name("x" * 250), "cannot be written.*File name too long"),
        (lambda path: path.with_name("a\0b"), "cannot be written .*null byte"),
        (lambda path: path.parent / "file" / "under", "cannot be written.*Not a directory"),
    ],
)
def test_what_cannot_be_a_file_is_said_and_stays(path, make, said):
    place = make(path.with_name("place"))
    with pytest.raises(AqaError, match=said), replacing(place):
        pytest.fail("the block was entered")
    assert "pipe" not in said or not place.is_file()
