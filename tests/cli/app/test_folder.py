"""Names of files are made, whatever name an upload comes with; the folder has one server."""

import doctest
import os
import subprocess
import sys

import pytest

import aqa_cli.app.folder
from aqa_cache.errors import AqaError
from aqa_cli.app.folder import Folder, file_name, is_id, new_id


def test_examples():
    assert doctest.testmod(aqa_cli.app.folder).failed == 0


@pytest.mark.parametrize(
    "said",
    ["../../etc/a.mp4", "C:\\x\\a.mp4", "/a.mp4", "a\0b.mp4", "-a.mp4", ".mp4", "...mp4", "a" * 999 + ".mp4"]
    + ["漢" * 90 + ".mp4", "\U0001d49c" * 90 + ".mp4"]
    + ["CON .mp4", "a/../../b.mp4", "\u202egnp.mp4", "%2e%2e%2fa.mp4", "a;rm -rf.mp4", "\ud800.mp4"],
)
def test_a_name_never_leads_out_of_the_folder(said, tmp_path):
    name = file_name(said, set())
    assert (tmp_path / name).resolve().parent == tmp_path and not name.startswith((".", "-"))
    assert len(name.encode()) < 200 and name.endswith(".mp4") and "/" not in name and "\\" not in name
    (tmp_path / name).touch()


@pytest.mark.parametrize(
    "said", ["a.exe", "a", "", "a.mp4.sh", "mp4", "a.mp4/", "annotations.csv", "a.\u0442s"]
)
def test_what_is_no_video_by_its_name_is_refused(said):
    with pytest.raises(AqaError, match="is no video by its name"):
        file_name(said, set())


def test_names_are_told_apart_without_regard_to_case():
    assert file_name("A.MP4", {"a.mp4", "A_2.mp4"}) == "A_3.mp4"


def test_ids_are_what_new_id_gives():
    assert is_id(new_id()) and not any(map(is_id, ("", "..", "0" * 15, "G" * 16, "0" * 16 + "\n")))


def test_one_server_has_the_folder_and_what_broke_off_is_removed(tmp_path):
    folder = Folder(tmp_path / "app")
    folder.make()
    (folder.arriving / "part").write_text("half a video")
    lock = folder.lock()
    code = "import sys, pathlib, aqa_cli.app.folder as f; f.Folder(pathlib.Path(sys.argv[1])).lock()"
    words = [sys.executable, "-c", code, str(folder.root)]
    other = subprocess.run(words, capture_output=True, text=True, check=False)
    assert f"another aqa-app uses it (process {os.getpid()}" in other.stderr
    lock.release()
    folder.make()
    assert not list(folder.arriving.iterdir())
