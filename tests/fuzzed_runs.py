"""Kinds of folders that hold runs: finished ones, and what is left of one that was interrupted."""

import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from fuzzing import Kind, change_text
from interrupted_runs import Interrupt, files
from made_runs import leave_out_drawing
from synthetic_cache import small_models, write_synthetic_cache

from aqa_heads.report.writing import write_report
from aqa_heads.runs.format import read_run
from aqa_heads.runs.model_file import read_model
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

# What `make_interrupted` has made: the config of a run, and the files of a whole one.
_whole: dict = {}


def make_finished(folder: Path) -> list[Path]:
    with small_models():
        cache = write_synthetic_cache(folder / "feats.h5")
        config = TrainingConfig(cache, "1", epochs=2, out=folder / "runs", device="cpu", meteor=False)
        attentive = replace(config, attention="dot", encoder="attention")
        return [train(attentive).folder, train(replace(config, experiment="ridge")).folder]


def make_interrupted(folder: Path) -> list[Path]:
    with small_models():
        cache = write_synthetic_cache(folder / "feats.h5")
        config = TrainingConfig(
            cache, epochs=3, out=folder / "cut", device="cpu", meteor=False, checkpoint_seconds=0, threads=1
        )
        with pytest.raises(KeyboardInterrupt):
            train(config, on_epoch=Interrupt(3))
        _whole.update(config=config, files=files(train(replace(config, out=folder / "whole")).folder))
    return [folder / "cut"]


def read_finished(path: Path, drawing: bool = False) -> None:
    with small_models(), pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        if not drawing:
            leave_out_drawing(patch)
        run = read_run(path)
        write_report([path], Path(folder) / "report.html")
        run.load_model()
        read_model(path / "model.safetensors")


def go_on(path: Path) -> None:
    with small_models():
        run = train(replace(_whole["config"], out=path, resume=True))
        assert files(run.folder) == _whole["files"], "other bits than those of a run that was never stopped"


def files_of(path: Path, *endings: str) -> list[Path]:
    """Its files, those that an earlier change has left."""
    return sorted(
        item
        for item in path.rglob("*")
        if item.is_file() and item.stat().st_size < 2**24 and (not endings or item.suffix in endings)
    )


def change_a_file(path: Path, rng: random.Random) -> None:
    """A value of one of its text files is another."""
    if found := files_of(path, ".json", ".csv"):
        change_text(rng.choice(found), rng)


def change_a_row(path: Path, rng: random.Random) -> None:
    """A line of one of its tables is there twice, or not at all, or two cells have changed places."""
    if not (tables := files_of(path, ".csv")):
        return
    table = rng.choice(tables)
    lines = table.read_bytes().split(b"\n")
    place, what = rng.randrange(len(lines)), rng.randrange(3)
    if what == 2:
        cells = lines[place].split(b",")
        rng.shuffle(cells)
        lines[place] = b",".join(cells)
    else:
        lines[place : place + 1] = [lines[place]] * 2 * what
    table.write_bytes(b"\n".join(lines))


def change_bytes(path: Path, rng: random.Random) -> None:
    """One of its files has zeros, noise, another bit or no end."""
    if not (found := files_of(path)):
        return
    file = rng.choice(found)
    content = bytearray(file.read_bytes())
    start, length, what = rng.randrange(len(content) + 1), rng.choice((1, 64, 65_536)), rng.randrange(4)
    part = content[start : start + length]
    if what == 0 and part:
        part[0] ^= 1 << rng.randrange(8)
    elif what == 3:
        del content[start:]
        part = bytearray()
    else:
        part = bytearray(len(part)) if what == 1 else bytearray(rng.randbytes(len(part)))
    content[start : start + length] = part
    file.write_bytes(content)


def change_kind(path: Path, rng: random.Random) -> None:
    """One of its files is a folder, a FIFO, a link to itself, of 100 GB, or gone."""
    if not (found := files_of(path)):
        return
    file = rng.choice(found)
    file.unlink()
    what = rng.randrange(5)
    if what == 0:
        file.mkdir()
    elif what == 1:
        os.mkfifo(file)
    elif what == 2:
        file.symlink_to(file)
    elif what == 3:
        file.touch()
        os.truncate(file, 10**11)


_TEXTS = (change_a_file, change_a_file, change_a_file, change_a_row)
KINDS = {"run folder": Kind(make_finished, read_finished, (*_TEXTS, change_bytes, change_kind))}
# Of these an input takes a second or more.
LONG_KINDS = {
    "report": Kind(make_finished, lambda path: read_finished(path, drawing=True), _TEXTS),
    "interrupted run": Kind(make_interrupted, go_on, (change_bytes, change_bytes, change_kind)),
}
