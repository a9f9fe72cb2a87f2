import pytest

from aqa_heads.errors import DivergedError, RunError
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


def test_a_full_disk_is_one_message(tmp_path):
    with (
        pytest.raises(RunError, match="the run cannot be finished: .*No space left on device"),
        new_run_folder(tmp_path / "a", False),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
