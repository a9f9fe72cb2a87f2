"""Uploads: whole or not at all, within bounds."""

import asyncio
import errno
import os
from collections import namedtuple

import pytest

from aqa_cli.app import arrivals as module
from aqa_cli.app.arrivals import Arrivals, Limits
from aqa_cli.app.folder import Folder
from aqa_cli.app.refused import Refused
from aqa_cli.app.store import Store
from aqa_cli.app.videos import Videos


@pytest.fixture
def made(tmp_path):
    folder = Folder(tmp_path / "app")
    folder.make()
    store = Store(folder.database)
    yield folder, lambda **limits: Videos(store, folder, Arrivals(folder, Limits(**limits)))
    store.close()


async def pieces(*content, pause=0.0):
    for piece in content:
        await asyncio.sleep(pause)
        yield piece


def take(videos, name, *content, length=None, pause=0.0):
    return asyncio.run(videos.take(name, length, pieces(*content, pause=pause)))


def test_an_upload_is_kept_under_a_name_of_its_own(made):
    folder, make = made
    videos = make()
    first, second = take(videos, "../a.MP4", b"one", b"two"), take(videos, "a.mp4", b"three")
    assert [(v.file, v.bytes, v.state) for v in videos.all()] == [("a.mp4", 6, "new"), ("a_2.mp4", 5, "new")]
    assert videos.path(first).read_bytes() == b"onetwo" and videos.path(second).read_bytes() == b"three"
    assert not os.listdir(folder.arriving)


@pytest.mark.parametrize(
    ("limits", "name", "content", "options", "status", "message"),
    [
        ({"bytes": 10}, "a.mp4", (b"12345", b"678901"), {}, 413, "is too large"),
        ({"bytes": 10}, "a.mp4", (b"1",), {"length": 11}, 413, "is too large"),
        ({}, "a.exe", (b"1",), {}, 415, "is no video"),
        ({}, "a.mp4", (), {}, 400, "is empty"),
        ({"idle_seconds": 0.05}, "a.mp4", (b"1", b"2"), {"pause": 0.5}, 408, "too slowly"),
        ({"seconds": 0.2}, "a.mp4", (b"1",) * 50, {"pause": 0.02}, 408, "too slowly"),
        ({"videos": 0}, "a.mp4", (b"1",), {}, 507, "no more are taken"),
        ({"at_once": 0}, "a.mp4", (b"1",), {}, 503, "are under way"),
    ],
)
def test_what_is_beyond_a_bound_leaves_nothing(made, limits, name, content, options, status, message):
    folder, make = made
    videos = make(**limits)
    with pytest.raises(Refused, match=message) as raised:
        take(videos, name, *content, **options)
    assert raised.value.status == status and not videos.all()
    assert not os.listdir(folder.arriving) and not os.listdir(folder.videos)


def test_a_full_disk_is_said_before_and_while_it_fills(made, monkeypatch):
    folder, make = made
    videos = make()
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
        with pytest.raises(Refused, match="the disk is full") as raised:
            take(videos, "a.mp4", b"1")
        assert raised.value.status == 507

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(Refused, match="the disk is full"):
        take(videos, "a.mp4", b"1")
    assert not videos.all() and not os.listdir(folder.arriving) and not os.listdir(folder.videos)


def test_what_breaks_off_leaves_nothing(made):
    folder, make = made
    videos = make()

    async def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(videos.take("a.mp4", None, broken()))
    assert not videos.all() and not os.listdir(folder.arriving)


@pytest.mark.parametrize("name", ["/etc/passwd", "../app.sqlite", "link.mp4", "none.mp4"])
def test_only_files_of_the_folder_are_listed(made, name):
    folder, make = made
    os.symlink("/etc/passwd", folder.videos / "link.mp4")
    assert make().list_file(name) is None
