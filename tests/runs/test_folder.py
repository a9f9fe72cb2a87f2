import os
import resource

import pytest
import torch

from aqa_cache.errors import AqaError
from aqa_heads.errors import DivergedError, RunError
from aqa_heads.runs.checkpoint import read_checkpoint, write_checkpoint
from aqa_heads.runs.folder import check_run_folder, new_run_folder, was_interrupted


def write_some(folder, overwrite=False, text="new"):
    with new_run_folder(folder, overwrite) as work:
        (work.path / "summary.json").write_text(text)


def test_a_run_is_replaced_only_when_asked(tmp_path):
    folder = tmp_path / "a" / "exp1"
    write_some(folder, text="old")
    with pytest.raises(RunError, match="this run exists; give --overwrite"):
        write_some(folder)
    assert (folder / "summary.json").read_text() == "old"
    write_some(folder, overwrite=True)
    assert (folder / "summary.json").read_text() == "new"
    assert [path.name for path in folder.parent.iterdir()] == ["exp1"]


def test_an_interrupted_run_leaves_the_old_one(tmp_path):
    folder = tmp_path / "exp1"
    write_some(folder, text="old")
    with pytest.raises(KeyboardInterrupt), new_run_folder(folder, True) as work:
        (work.path / "summary.json").write_text("new")
        raise KeyboardInterrupt
    assert (folder / "summary.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["exp1"]


def test_what_is_no_run_is_never_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    check_run_folder(tmp_path / "empty", False)
    check_run_folder(tmp_path / "new", False)
    write_some(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        check_run_folder(tmp_path / "file", True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("")
    with pytest.raises(RunError, match="is not a run folder"):
        check_run_folder(tmp_path / "thesis", True)
    with pytest.raises(RunError, match="cannot be made"):
        write_some(tmp_path / "file" / "exp1")


def checkpointed(folder, error):
    with pytest.raises(error), new_run_folder(folder, False, seconds=0) as work:
        work.save(lambda: {"epochs": [1, 2]})
        raise error


def test_a_checkpoint_survives_whatever_ends_the_run_but_divergence(tmp_path):
    for error in (KeyboardInterrupt, MemoryError, RunError, SystemExit):
        folder = tmp_path / error.__name__
        checkpointed(folder, error)
        assert was_interrupted(folder) and not folder.exists()
        with pytest.raises(RunError, match="was interrupted; give --resume"):
            check_run_folder(folder, False)
        check_run_folder(folder, True)
        with new_run_folder(folder, False, resume=True) as work:
            assert work.load() == {"epochs": [1, 2]}
            (work.path / "summary.json").write_text("new")
        assert [path.name for path in folder.iterdir()] == ["summary.json"] and not was_interrupted(folder)
    checkpointed(tmp_path / "diverged", DivergedError)
    assert not was_interrupted(tmp_path / "diverged")
    assert all(not path.name.startswith(".") for path in tmp_path.iterdir())


def test_begun_again_nothing_of_the_interrupted_run_is_left(tmp_path):
    checkpointed(tmp_path / "exp1", KeyboardInterrupt)
    with new_run_folder(tmp_path / "exp1", True) as work:
        assert work.load() is None and list(work.path.iterdir()) == []
        (work.path / "summary.json").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["exp1"]


def test_a_run_that_appeared_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(RunError, match="this run exists"), new_run_folder(tmp_path / "exp1", False):
        (tmp_path / "exp1").mkdir()
        (tmp_path / "exp1" / "summary.json").write_text("another's")
    assert (tmp_path / "exp1" / "summary.json").read_text() == "another's"


def test_a_name_that_is_too_long_or_a_folder_that_is_unreadable_is_one_message(tmp_path, monkeypatch):
    with pytest.raises(RunError, match="cannot be looked at .File name too long.; choose another --out"):
        write_some(tmp_path / ("y" * 300))
    (tmp_path / "exp1").mkdir()

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(RunError, match="cannot be looked at .Permission denied."):
        check_run_folder(tmp_path / "exp1", True)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_checkpoint_that_is_no_file_is_not_waited_for(tmp_path, make):
    (tmp_path / ".exp1.unfinished").mkdir()
    make(tmp_path / ".exp1.unfinished" / "checkpoint.pt")
    with (
        pytest.raises(RunError, match="is no plain file"),
        new_run_folder(tmp_path / "exp1", False, True) as work,
    ):
        work.load()


@pytest.mark.parametrize("room", [*range(0, 2600, 100), *range(2600, 3600, 10)])
def test_on_a_full_disk_a_checkpoint_is_whole_or_not_there(tmp_path, room):
    """Every size at which the disk may be full, the last bytes of the file included."""
    state = {"weights": torch.arange(300.0), "epochs": [[1, 0.5]]}
    write_checkpoint(tmp_path / "checkpoint.pt", {"epochs": []})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        write_checkpoint(tmp_path / "checkpoint.pt", state)
        written = True
    except RunError as error:
        assert "make room and give --resume" in str(error)
        written = False
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = read_checkpoint(tmp_path / "checkpoint.pt")
    assert found["epochs"] == (state["epochs"] if written else [])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_is_one_message(tmp_path):
    with (
        pytest.raises(RunError, match="the run cannot be finished: .*No space left on device"),
        new_run_folder(tmp_path / "a", False),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".exp1.unfinished", "exp1", ".exp1.lock"])
@pytest.mark.parametrize(
    "options", [{"overwrite": False}, {"overwrite": True}, {"overwrite": True, "resume": True}]
)
def test_what_a_link_leads_to_is_left_as_it_is(tmp_path, name, options):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    for file in ("summary.json", "config.json", ".mine.tmp", "checkpoint.pt", "best_mine.safetensors"):
        (thesis / file).write_text("mine")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / name).symlink_to(thesis / "summary.json" if name.endswith("lock") else thesis)
    with (
        pytest.raises(AqaError, match="is a symbolic link to .*thesis"),
        new_run_folder(tmp_path / "runs" / "exp1", **options),
    ):
        pytest.fail("begun")
    assert [path.read_text() for path in thesis.iterdir()] == ["mine"] * 5
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]


def refusing(monkeypatch, taking):
    """The system refuses to rename to what `taking` says."""
    really = os.rename

    def rename(source, target):
        if taking(source, target):
            raise OSError(16, "Device or resource busy")
        return really(source, target)

    monkeypatch.setattr(os, "rename", rename)


@pytest.mark.parametrize("step", ["old away", "new in place"])
@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_finished_run_that_cannot_take_its_place_is_kept(tmp_path, monkeypatch, step, checkpoint):
    folder = tmp_path / "exp1"
    write_some(folder, text="old")
    refusing(
        monkeypatch,
        lambda source, _: source == folder if step == "old away" else source.name.endswith(".unfinished"),
    )
    with (
        pytest.raises(
            RunError, match=r"cannot be put there \(Device or resource busy\); it lies in .*unfinished"
        ),
        new_run_folder(folder, True, seconds=0) as work,
    ):
        if checkpoint:
            work.save(lambda: {"epochs": [1, 2]})
        (work.path / "summary.json").write_text("new")
    assert (folder / "summary.json").read_text() == "old"
    assert (tmp_path / ".exp1.unfinished" / "summary.json").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.undo()
    if checkpoint:
        with new_run_folder(folder, False, resume=True) as work:
            assert work.load() == {"epochs": [1, 2]}
        assert (folder / "summary.json").read_text() == "new"
        assert [path.name for path in folder.iterdir()] == ["summary.json"]


def test_where_a_disk_is_mounted_no_run_is_begun(tmp_path, monkeypatch):
    (tmp_path / "exp1").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: path.name == "exp1")
    with pytest.raises(RunError, match="is where a disk is mounted"):
        check_run_folder(tmp_path / "exp1", True)


def test_an_old_run_that_cannot_be_removed_is_no_error(tmp_path, monkeypatch):
    write_some(tmp_path / "exp1", text="old")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        "aqa_heads.runs.folder._remove", lambda folder, *_: folder.name == "exp1" and refuse()
    )
    write_some(tmp_path / "exp1", overwrite=True)
    assert (tmp_path / "exp1" / "summary.json").read_text() == "new"
