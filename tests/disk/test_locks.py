import errno
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from aqa_cache.disk.locks import FileLock
from aqa_cache.errors import AqaError

HOLD = """
import sys, time
from pathlib import Path
from aqa_cache.disk.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.acquire(share="1/2")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a.lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_has_one_owner_who_is_named(tmp_path, holder):
    lock = FileLock(tmp_path / "a.lock")
    assert not lock.acquire()
    owner = lock.owner()
    assert owner["pid"] == holder.pid and owner["share"] == "1/2" and owner["host"]


def test_a_dead_owner_holds_nothing(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    lock = FileLock(tmp_path / "a.lock")
    assert (tmp_path / "a.lock").exists() and lock.owner() is None
    assert lock.acquire()
    assert json.loads((tmp_path / "a.lock").read_text())["pid"] == os.getpid()


def test_those_who_look_at_a_lock_do_not_have_it(tmp_path):
    """Neither for another who looks, nor for one who takes it: what a killed owner left is free to all."""
    import fcntl

    path = tmp_path / "a.lock"
    path.write_text(json.dumps({"host": "h", "pid": 1}))
    with open(path) as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)  # as `owner` does, for a moment
        assert FileLock(path).owner() is None
        threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        lock = FileLock(path)
        assert lock.acquire()
    assert FileLock(path).owner()["pid"] == os.getpid() and not FileLock(path).acquire()
    lock.release()


def test_many_look_while_one_takes_it_again_and_again(tmp_path):
    path, over = tmp_path / "a.lock", threading.Event()

    def look():
        while not over.is_set():
            FileLock(path).owner()

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        for _ in range(100):
            lock = FileLock(path)
            assert lock.acquire()
            lock.release()
    finally:
        over.set()
        for thread in looking:
            thread.join()


def test_waiting_gets_it_when_it_is_free(tmp_path, holder):
    threading.Timer(0.2, holder.kill).start()
    lock = FileLock(tmp_path / "a.lock")
    assert lock.acquire(wait=True)
    lock.release()
    assert not (tmp_path / "a.lock").exists()


def test_a_lock_whose_file_was_taken_away_is_made_anew(tmp_path, monkeypatch):
    first, second = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "a.lock")
    assert first.acquire()
    really = second._lock

    def released_meanwhile(handle, wait):
        first.release()  # removes the file that `handle` has open
        return really(handle, wait)

    monkeypatch.setattr(second, "_lock", released_meanwhile)
    assert second.acquire()
    assert FileLock(tmp_path / "a.lock").acquire() is False


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, said):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = FileLock(tmp_path / "a.lock")
    assert lock.effective and lock.acquire() and not lock.effective
    assert "knows no locks (No locks available); see to it that no other extraction writes there" in said[0]
    assert FileLock(tmp_path / "b.lock", quiet=True).acquire() and len(said) == 1


def linked(place, other):
    place.symlink_to(other)


def hard_linked(place, other):
    place.hardlink_to(other)


def copied(place, other):
    place.write_bytes(other.read_bytes())


@pytest.mark.parametrize("content", ["my own notes", ""])
@pytest.mark.parametrize("put", [linked, hard_linked, copied])
def test_a_file_that_is_no_lock_of_ours_is_left_as_it_is(tmp_path, put, content):
    if put is copied and not content:
        return  # that is a lock whose owner was killed as it took it
    (tmp_path / "notes").write_text(content)
    put(tmp_path / "a.lock", tmp_path / "notes")
    lock = FileLock(tmp_path / "a.lock")
    for wait in (False, True):
        with pytest.raises(AqaError, match=r"a\.lock: .*a lock file is to be there"):
            lock.acquire(wait)
    lock.release()
    assert lock.owner() is None
    assert (tmp_path / "notes").read_text() == (tmp_path / "a.lock").read_text() == content


def test_a_link_to_nowhere_makes_no_file_there(tmp_path):
    (tmp_path / "a.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AqaError, match=r"a\.lock: is a symbolic link to .*elsewhere"):
        FileLock(tmp_path / "a.lock").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.lock")
    with pytest.raises(AqaError, match="is no plain file"):
        FileLock(tmp_path / "a.lock").acquire()


@pytest.mark.parametrize("written", [0, 10, None])
def test_a_lock_that_cannot_be_signed_is_not_held(tmp_path, monkeypatch, written):
    """None but its owner's words say who holds it: on a full disk there is no lock without them."""

    def full(handle, text, place):
        if written is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left on device"):
            FileLock(tmp_path / "a.lock").acquire()
    assert not (tmp_path / "a.lock").exists()
    assert FileLock(tmp_path / "a.lock").acquire()


def test_what_a_killed_owner_left_is_taken_whole_or_empty(tmp_path):
    for left in ("", json.dumps({"host": "h", "pid": 1})):
        (tmp_path / "a.lock").write_text(left)
        lock = FileLock(tmp_path / "a.lock")
        assert lock.acquire()
        lock.release()
        assert not (tmp_path / "a.lock").exists()
