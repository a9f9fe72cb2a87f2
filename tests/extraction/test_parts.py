import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numbered_video import write_numbered_video
from places import ROOT
from small_extraction import CONFIG, assert_same_features, contents

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.cache_file import writer as cache_writer
from aqa_cache.cache_file.feature_spec import FeatureSpec, Learned
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.disk.locks import FileLock
from aqa_cache.errors import AqaError
from aqa_cache.extraction import part_writer
from aqa_cache.extraction.parts import Parts, folder_of
from aqa_cache.extraction.publishing import merge
from aqa_cache.extraction.run import extract
from aqa_cache.extraction.shards import Shard
from aqa_cache.weights.random_weights import random_weights_path
from aqa_cli.data import data
from aqa_cli.extract import main as aqa_extract

SPEC = FeatureSpec("c3d", "pool5", 8192, "w", "", {}, {})
SETTINGS = "--engine torch --weights random --size 32 --batch-size 4 --workers 1 --last-clip drop".split()


@pytest.fixture
def beside(tmp_path, random_s3d):
    """A second place for a cache, with its weights."""
    path = tmp_path / "beside" / "feats.h5"
    path.parent.mkdir()
    random_weights_path(path, "s3d").symlink_to(random_s3d)
    return path


def command(*arguments):
    return [sys.executable, "-m", "aqa_cli.extract", *SETTINGS, *map(str, arguments)]


def only_files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file() or path.is_symlink())


def test_two_processes_give_what_one_gives(videos, output, beside):
    extract(videos, output, replace(CONFIG, workers=1))
    running = [
        subprocess.Popen(
            command(videos, beside),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"},
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=600) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert sum("not published" in stdout for stdout, _ in said) == 1
    assert all("(from RANK and WORLD_SIZE; --shard 1/1 does everything)" in stderr for _, stderr in said)
    assert_same_features(contents(beside), contents(output))
    with FeatureCache(beside) as shared, FeatureCache(output) as alone:
        assert shared.fingerprint == alone.fingerprint and shared.numerics == alone.numerics
        assert shared.samples == alone.samples and (shared.offset == alone.offset).all()
    assert only_files(beside.parent) == ["feats.h5", "feats.h5.log", "feats.random-s3d.safetensors"]
    assert not folder_of(beside).exists()
    lines = [json.loads(line) for line in (beside.parent / "feats.h5.log").read_text().splitlines()]
    assert sorted(line["shard"] for line in lines) == ["1/2", "2/2"]


def test_shards_may_be_resumed_with_another_number(videos, output, beside, said):
    extract(videos, output, CONFIG)
    said.clear()
    first = extract(videos, beside, replace(CONFIG, shard=Shard(2, 3)))
    assert first.dtype is None and not beside.exists()
    assert any("samples are left to other shards. The last one publishes" in line for line in said)
    assert extract(videos, beside, replace(CONFIG, shard=Shard(1, 2))).dtype is None
    result = extract(videos, beside, replace(CONFIG, shard=Shard(2, 2)))
    assert result.dtype and not result.failures
    assert_same_features(contents(beside), contents(output))


def test_merge_publishes_what_there_is(videos, output, beside):
    extract(videos, output, CONFIG)
    extract(videos, beside, replace(CONFIG, shard=Shard(1, 2)))
    published = merge(beside)
    merged, whole = contents(beside), contents(output)
    assert list(merged) == list(whole)
    lacking = {key for key, record in merged.items() if not record.ok}
    assert lacking == set(published.missing) and 0 < len(lacking) < len(whole)
    assert (published.samples, published.failures) == (len(whole), [])
    assert all(
        "not extracted yet; run the same aqa-extract command again" in merged[key].reason for key in lacking
    )
    assert_same_features(
        {key: record for key, record in merged.items() if record.ok},
        {key: record for key, record in whole.items() if key not in lacking},
    )
    with pytest.raises(AqaError, match="has no parts .* nothing to merge"):
        merge(beside)
    extract(videos, beside, CONFIG)
    assert_same_features(contents(beside), whole)


def test_merge_as_a_command(videos, beside):
    extract(videos, beside, replace(CONFIG, shard=Shard(1, 2)))
    result = CliRunner().invoke(data, ["merge", str(beside)])
    done = sum(record.ok for record in contents(beside).values())
    count = len(contents(beside))
    assert result.exit_code == 1 and f"{done} of {count} samples have features." in result.stdout
    assert (
        f"{count - done} sample(s) have not been extracted yet: run aqa-extract again to go on."
        in result.stderr
    )
    result = CliRunner().invoke(data, ["merge", str(beside)])
    assert result.exit_code == 2 and "nothing to merge" in result.stderr


def test_the_same_shard_is_refused_while_its_owner_lives(videos, output, tmp_path):
    folder_of(output).mkdir()
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom aqa_cache.extraction.parts import Parts\nfrom"
        " aqa_cache.extraction.shards import Shard\nparts = Parts(Path(sys.argv[1]))\nfrom"
        " aqa_cache.annotations import read_annotations\nfrom aqa_cache.cache_file.feature_spec import"
        " FeatureSpec\nsamples = read_annotations(sys.argv[4])\nwith parts.exclusively():\n   "
        " parts.claim(Shard(1, 2), FeatureSpec(**eval(sys.argv[2])), ['plain'], eval(sys.argv[3]),"
        " samples)\nprint('held', flush=True)\ntime.sleep(60)\n"
    )

    def owner(spec, numerics, table=videos / "annotations.csv"):
        process = subprocess.Popen(
            [sys.executable, "-c", hold, str(output), repr(asdict(spec)), repr(numerics), str(table)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "held\n"
        return process

    other = owner(SPEC, {})
    with pytest.raises(
        AqaError, match=rf"process {other.pid} on .* extracts into it with other settings; wait for it"
    ):
        extract(videos, output, replace(CONFIG, shard=Shard(2, 2)))
    other.kill()
    other.communicate()
    extract(videos, tmp_path / "feats2.h5", replace(CONFIG, weights=str(random_weights_path(output, "s3d"))))
    with FeatureCache(tmp_path / "feats2.h5") as cache:
        spec, numerics = cache.spec, cache.numerics
    otherwise = owner(spec, {**numerics, "batch_size": 32})
    with pytest.raises(
        AqaError,
        match=rf"shard 1/2 \(process {otherwise.pid} .*are computed otherwise .*\n  batch_size: 4, 32",
    ):
        extract(videos, output, replace(CONFIG, shard=Shard(2, 2)))
    otherwise.kill()
    otherwise.communicate()
    write_annotations(tmp_path / "other.csv", [Sample("x", "0.mp4", 0, 16)])
    of_others = owner(spec, numerics, tmp_path / "other.csv")
    with pytest.raises(
        AqaError, match=rf"process {of_others.pid} on .* extracts into it with other annotations; wait for it"
    ):
        extract(videos, output, replace(CONFIG, shard=Shard(2, 2)))
    of_others.kill()
    of_others.communicate()
    same = owner(spec, numerics)
    try:
        with pytest.raises(
            AqaError, match=rf"shard 1/2 of its extraction is being done by process {same.pid} on .* since"
        ):
            extract(videos, output, replace(CONFIG, shard=Shard(1, 2)))
        with pytest.raises(AqaError, match=r"this process would be shard 1/1"):
            extract(videos, output, CONFIG)
        with pytest.raises(
            AqaError, match=rf"1 process\(es\) still work on it, shard 1/2 in process {same.pid}"
        ):
            merge(output)
        assert extract(videos, output, replace(CONFIG, shard=Shard(2, 2))).dtype is None  # welcome
    finally:
        same.kill()
        same.communicate()
    # a dead owner's lock clears itself
    assert extract(videos, output, replace(CONFIG, shard=Shard(1, 2))).dtype


def test_stopping_publishes_what_is_done(videos, output, beside):
    extract(videos, beside, CONFIG)
    stop = threading.Event()

    def progress(state):
        if state.samples >= 3:
            stop.set()

    result = extract(videos, output, CONFIG, progress=progress, stop=stop)
    assert result.stopped and not folder_of(output).exists()
    found, whole = contents(output), contents(beside)
    done = {key for key, record in found.items() if record.ok}
    assert list(found) == list(whole) and 3 <= len(done) < len(whole)
    assert_same_features({key: found[key] for key in done}, {key: whole[key] for key in done})
    assert result.failures == [] and result.missing == len(whole) - len(done)
    went_on = extract(videos, output, CONFIG)
    assert went_on.reused == len(done)
    assert_same_features(contents(output), whole)


def test_stopping_before_anything_is_done_leaves_nothing(videos, output, said):
    stop = threading.Event()
    stop.set()
    assert extract(videos, output, CONFIG, stop=stop).dtype is None
    assert "Nothing was finished, so nothing is published." in said
    assert not output.exists() and not folder_of(output).exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_command_in_order(tmp_path, output, name):
    (tmp_path / "in").mkdir()
    video = write_numbered_video(tmp_path / "in" / "0.mp4", 2000)
    for number in range(1, 30):
        (tmp_path / "in" / f"{number}.mp4").hardlink_to(video)
    process = subprocess.Popen(command(tmp_path / "in", output), stderr=subprocess.PIPE, text=True)
    while not (folder_of(output) / "annotations.csv").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 128 + getattr(signal, name), stderr
    assert "Stopping: the batch in flight is finished, and what is done is published." in stderr
    assert "Traceback" not in stderr
    assert not folder_of(output).exists()


def test_on_error_stop_stops_at_the_first_failure(tmp_path, output):
    (tmp_path / "in").mkdir()
    write_numbered_video(tmp_path / "in" / "short.mp4", 5)
    write_numbered_video(tmp_path / "in" / "long.mp4", 4000)
    result = extract(tmp_path / "in", output, replace(CONFIG, on_error="stop"))
    assert result.stopped
    assert result.missing == 1
    assert [key for key, _ in result.failures] == ["short"]
    assert "has 5 frame(s), shorter than one clip of 16" in contents(output)["short"].reason
    assert "not extracted yet" in contents(output)["long"].reason


def test_a_part_is_saved_after_so_many_samples_or_bytes(tmp_path, monkeypatch, videos, output):
    monkeypatch.setattr(part_writer, "PART_SAMPLES", 4)
    saved = []
    really = part_writer.write_cache

    def write_cache(path, records, *arguments, **options):
        saved.append([record.sample.sample_id for record in records])
        return really(path, records, *arguments, **options)

    monkeypatch.setattr(part_writer, "write_cache", write_cache)
    extract(videos, output, CONFIG)
    assert sum(map(len, saved)) == len(contents(output)) and set(map(len, saved[:-1])) == {4}
    saved.clear()
    monkeypatch.setattr(part_writer, "PART_BYTES", 1)
    output.unlink()
    extract(videos, output, CONFIG)
    assert {len(part) for part in saved} == {1}


def test_a_disk_that_is_full_loses_nothing(videos, output, monkeypatch):
    monkeypatch.setattr(part_writer, "PART_SAMPLES", 3)
    really, written = cache_writer._write_samples, []

    def write_samples(*arguments):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(really(*arguments))

    monkeypatch.setattr(cache_writer, "_write_samples", write_samples)
    with pytest.raises(AqaError, match=r"writing failed .*No space left on device.*; nothing was changed"):
        extract(videos, output, CONFIG)
    monkeypatch.undo()
    assert not output.exists() and len(Parts(output).paths()) == 2
    result = extract(videos, output, CONFIG)
    assert result.reused == 6 and not result.failures


def test_a_file_size_limit_is_one_message(videos, output, tmp_path):
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from aqa_cli.extract import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SETTINGS, str(videos), str(output)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 2, done.stderr
    assert (
        "Traceback" not in done.stderr
        and "writing failed" in done.stderr
        and "nothing was changed" in done.stderr
    )
    assert not output.exists()
    assert not extract(videos, output, CONFIG).failures


def test_a_disk_without_any_room_is_one_message_and_nobody_waits(videos, output, monkeypatch, said):
    """The lock cannot be signed then; waiting for it would be waiting for oneself."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(AqaError, match=r"feats.h5.parts: cannot be made .*\(No space left on device"):
        extract(videos, output, CONFIG)
    assert not any("Waiting" in line for line in said)
    assert not folder_of(output).exists() and not output.exists()


def test_a_system_that_starts_no_thread_is_one_message(videos, output, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    done = CliRunner().invoke(aqa_extract, [*SETTINGS, str(videos), str(output)])
    assert done.exit_code == 2 and done.output.splitlines()[-1].startswith(
        "Error: the system starts no further"
    )
    assert not folder_of(output).exists()


def test_a_folder_that_cannot_be_written(videos, output, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(
        AqaError, match=r"feats.h5.parts: cannot be made or written to \(Permission denied\); make room"
    ):
        extract(videos, output, CONFIG)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that takes no file")
def test_a_folder_in_which_none_can_be_made_is_not_tried_for_ever():
    with (
        pytest.raises(AqaError, match="feats.h5.parts: cannot be made or written to"),
        Parts(Path("/proc/feats.h5")).exclusively(),
    ):
        pytest.fail("the block was entered")


def test_a_folder_that_another_process_takes_away_meanwhile_is_made_again(tmp_path, monkeypatch):
    """It is there when it is to be made, and is not when it is looked at."""
    parts, tries, mkdir = Parts(tmp_path / "feats.h5"), [], os.mkdir

    def taken_away(path, *mode):
        tries.append(path)
        if len(tries) == 1:
            raise FileExistsError(17, "File exists", str(path))
        mkdir(path, *mode)

    monkeypatch.setattr(os, "mkdir", taken_away)
    with parts.exclusively():
        assert tries == [parts.folder] * 2
    parts.close()
    parts.folder.write_text("a file of the user's")
    with pytest.raises(AqaError, match=r"feats\.h5\.parts: cannot be made or written to \(File exists\)"):
        with parts.exclusively():
            raise AssertionError
    assert parts.paths() == parts.others_at_work() == []


def test_a_folder_that_vanishes_as_it_is_looked_at_holds_nothing(tmp_path, monkeypatch):
    parts, vanishing = Parts(tmp_path / "feats.h5"), folder_of(tmp_path / "feats.h5")
    vanishing.mkdir()
    is_dir = Path.is_dir

    def and_is_gone(path):
        found = is_dir(path)
        if path == vanishing and found:
            vanishing.rmdir()
        return found

    monkeypatch.setattr(Path, "is_dir", and_is_gone)
    assert Parts(tmp_path / "feats.h5").paths() == parts.others_at_work() == []


def test_what_a_killed_process_left_is_taken_away(videos, output):
    folder_of(output).mkdir()
    (folder_of(output) / ".feats.h5.abc.tmp").write_text("half a file")
    (folder_of(output) / "shard-2-of-3.lock").write_text("{}")
    extract(videos, output, CONFIG)
    assert not folder_of(output).exists()


def test_a_users_own_files_in_the_folder_of_parts_stay(videos, output, said):
    folder = folder_of(output)
    (folder / "sub" / "deeper").mkdir(parents=True)
    mine = ["notes.txt", "mine.h5", ".notes.tmp", ".feats.h5", "sub/annotations.csv", "shard-1.lock"]
    for name in mine:
        (folder / name).write_text(name)
    assert extract(videos, output, CONFIG).dtype
    assert [(folder / name).read_text() for name in mine] == mine
    assert sorted(path.name for path in folder.iterdir()) == sorted({name.split("/")[0] for name in mine})
    assert any(line.startswith(f"{folder} stays: it holds what this program did not make (") for line in said)


@pytest.mark.parametrize(
    "work", [lambda videos, output: extract(videos, output, CONFIG), lambda _, o: merge(o)]
)
def test_a_folder_of_parts_that_is_a_link_is_refused(videos, output, tmp_path, work):
    (tmp_path / "thesis").mkdir()
    for name in ("chapter.tex", "annotations.csv", "shard-1-of-1.lock"):
        (tmp_path / "thesis" / name).write_text("mine")
    folder_of(output).symlink_to(tmp_path / "thesis")
    with pytest.raises(
        AqaError, match=r"feats\.h5\.parts: is a symbolic link to .*thesis, but the folder of"
    ):
        work(videos, output)
    assert {path.read_text() for path in (tmp_path / "thesis").iterdir()} == {"mine"}
    assert len(list((tmp_path / "thesis").iterdir())) == 3 and not output.exists()


def test_a_folder_of_parts_on_another_disk_is_refused_at_the_start(videos, output, monkeypatch):
    folder, really = folder_of(output), Path.stat
    folder.mkdir()

    def stat(self, **options):
        found = really(self, **options)
        if self != folder:
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10]))

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(AqaError, match=r"feats\.h5\.parts: lies on another disk than feats\.h5"):
        extract(videos, output, CONFIG)


@pytest.mark.parametrize("name", ["starting.lock", "shard-1-of-1.lock"])
def test_a_lock_that_is_a_link_is_refused_before_the_first_video(videos, output, tmp_path, name):
    (tmp_path / "notes").write_text("mine")
    folder_of(output).mkdir()
    (folder_of(output) / name).symlink_to(tmp_path / "notes")
    with pytest.raises(AqaError, match=rf"{name}: is a symbolic link"):
        extract(videos, output, CONFIG, progress=pytest.fail)
    assert (tmp_path / "notes").read_text() == "mine"


def test_ctrl_c_while_publishing_leaves_a_whole_file(videos, output, monkeypatch):
    really = cache_writer._Disk.write

    def write(self, data):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt  # what Python does in the main thread, and nowhere else
        return really(self, data)

    monkeypatch.setattr(cache_writer._Disk, "write", write)
    extract(videos, output, CONFIG)
    assert all(record.ok for record in contents(output).values())


def test_a_shard_without_work_does_not_fail(videos, output):
    extract(videos, output, CONFIG)
    result = CliRunner().invoke(aqa_extract, [*SETTINGS, "--shard", "5/9", str(videos), str(output)])
    assert result.exit_code == 0, result.output


def test_what_failed_in_a_shard_is_told_and_published(tmp_path, output):
    (tmp_path / "in").mkdir()
    write_numbered_video(tmp_path / "in" / "long.mp4", 40)
    write_numbered_video(tmp_path / "in" / "short.mp4", 5)
    arguments = [*SETTINGS, str(tmp_path / "in"), str(output)]
    first = CliRunner().invoke(aqa_extract, ["--shard", "2/2", *arguments])
    assert first.exit_code == 0 and "has 5 frame(s)" in first.stderr and "not published" in first.stdout
    last = CliRunner().invoke(aqa_extract, ["--shard", "1/2", *arguments])
    assert last.exit_code == 1 and "has 5 frame(s)" in last.stderr


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "benchmarks" / "kill_run.py"),
            *("--kills", "3", "--seed", "3", "--videos", "4", "--size", "32"),
            "--no-results",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] >= 3 and report["equal"] == report["cycles"] >= 1 and not report["litter"]


def test_a_process_does_not_count_itself_among_the_others(tmp_path):
    mine = Parts(tmp_path / "feats.h5")
    with mine.exclusively():
        mine.claim(Shard(1, 2), SPEC, ["plain"], {}, [])
    assert mine.others_at_work() == []
    assert FileLock(mine.folder / "shard-1-of-2.lock").acquire() is False
    mine.close()
    assert not mine.folder.exists()


def test_what_the_backbone_was_fine_tuned_on_goes_from_parts_to_the_output(tmp_path):
    sample = Sample("a", "a.mp4")
    tuned = Learned("w", "w", trained_on=("b",))
    parts = Parts(tmp_path / "feats.h5")
    with parts.exclusively():
        parts.claim(Shard(1, 1), replace(SPEC, tuned=tuned), ["plain"], {}, [sample])
    writer = part_writer.PartWriter(parts.folder, replace(SPEC, tuned=tuned), {}, ["plain"])
    writer.add(
        Record(sample, [ClipFeatures(np.ones((1, 8192), np.float32), np.zeros(1, np.int64), np.zeros(1))])
    )
    writer.close()
    with parts.exclusively():
        parts.release()
    merge(tmp_path / "feats.h5")
    with FeatureCache(tmp_path / "feats.h5") as cache:
        assert cache.spec.tuned == tuned
