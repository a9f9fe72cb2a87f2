"""What the documentation shows is true: tutorials are run as written, and every command line of every page is
one that its command takes.
"""

import json
import pickle
import re
from dataclasses import replace

import click
import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner
from numbered_video import number_image, write_numbered_video
from pages import PAGES, commands, console, known_extras, python_blocks, shell_blocks
from places import ROOT
from synthetic_cache import small_models, write_synthetic_cache
from tiny_backbone import register_tiny

from aqa_cache import Sample, read_annotations, write_annotations
from aqa_cache.exchange.exporting import export_features

TUTORIALS = ("own_clips", "own_features", "frame_folders", "coach")
# In place of what would take minutes: another network, fewer epochs.
QUICK = {
    "aqa-extract": "--weights random --device cpu --workers 1".split(),
    "aqa-train": "--epochs 1 --threads 1 --device cpu --no-meteor".split(),
    "aqa-score": "--device cpu".split(),
}
SERVES = ("aqa-app",)  # until it is ended


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_line_is_one_that_its_command_takes(path):
    for words in commands(path.read_text()):
        command, given = console(words)
        context = click.Context(command, info_name=words[0])
        options, _, order = command.make_parser(context).parse_args(list(given))
        for option in order:
            if isinstance(option.type, click.Choice) and isinstance(value := options[option.name], str):
                option.type.convert(value, option, context)
    for extra in re.findall(r"pip install (?:-e )?'(?:\.|aqa-cache)\[([\w,]+)\]'", path.read_text()):
        assert set(extra.split(",")) <= known_extras(), f"{path.name} installs the extra {extra}"


def test_there_are_command_lines():
    """Fewer than today would mean that they are no longer looked for in the right place."""
    assert sum(len(list(commands(path.read_text()))) for path in PAGES) > 75


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What a reader has: videos, folders of frames, features of another program, with their tables."""
    register_tiny(monkeypatch)
    monkeypatch.chdir(tmp_path)
    samples = [
        Sample(
            f"s{number:02d}",
            f"s{number:02d}.mp4",
            split="test" if number % 4 == 3 else "train",
            group=f"group {number % 8}",
            final_score=40.0 + number % 7,
        )
        for number in range(24)
    ]
    (tmp_path / "videos").mkdir()
    for number, sample in enumerate(samples):
        write_numbered_video(tmp_path / "videos" / sample.video, 32 + number)
    write_numbered_video(tmp_path / "dive.mp4", 40)
    write_annotations(tmp_path / "videos" / "annotations.csv", samples)
    with small_models():
        yield tmp_path, samples


def run(words, *further):
    words = ["tiny" if word in ("s3d", "c3d") else word for word in words]
    command, given = console(words)
    result = CliRunner().invoke(command, [*given, *QUICK.get(words[0], ()), *further])
    assert result.exit_code == 0, f"{' '.join(words)}:\n{result.output}"
    return result


def make_features(folder, samples):
    write_synthetic_cache(folder / "made.h5", 18, 6, change=lambda index, _: samples[index])
    export_features(folder / "made.h5", folder / "features")
    (folder / "features" / "annotations.csv").rename(folder / "annotations.csv")
    (folder / "features" / "provenance.json").unlink()
    arrays = {path.stem: np.load(path) for path in (folder / "features").glob("*.npy")}
    (folder / "paper.pkl").write_bytes(pickle.dumps(arrays))


def make_frames(folder, samples):
    from PIL import Image

    for sample in samples:
        (folder / "frames" / sample.sample_id).mkdir(parents=True)
        for number in range(16):
            image = Image.fromarray(number_image(number))
            image.save(folder / "frames" / sample.sample_id / f"{number + 1:06d}.jpg")
    rows = [replace(sample, video=sample.sample_id) for sample in samples]
    write_annotations(folder / "frames" / "annotations.csv", rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs(world, name):
    folder, samples = world
    text = (ROOT / f"docs/tutorials/{name}.md").read_text()
    if name == "own_features":
        make_features(folder, samples)
    if name == "frame_folders":
        make_frames(folder, samples)
    if name == "own_clips":
        (folder / "videos/annotations.csv").unlink()
        write_annotations(folder / "scores.csv", [replace(sample, split=None) for sample in samples])
    if name == "coach":
        run("aqa-extract --backbone s3d videos/ feats.h5".split())
        run("aqa-train --features feats.h5 --tasks score --name default".split())
    said = ""
    for words in commands(text):
        if words[0] not in SERVES:
            said = run(words).output
    for code in python_blocks(text):
        exec(compile(code, name, "exec"), {})
    assert said, "the last command says something"
    if name == "own_features":
        again = "features.npz again.h5 --annotations annotations.csv --backbone i3d"
        run(f"aqa-data import-features {again}".split())
        assert (folder / "again.h5").read_bytes() == (folder / "feats.h5").read_bytes()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tables_that_are_shown_can_be_read(path, tmp_path):
    for number, table in enumerate(re.findall(r"^```csv\n(.*?)^```", path.read_text(), re.M | re.S)):
        (tmp_path / f"{number}.csv").write_text(table)
        assert len(read_annotations(tmp_path / f"{number}.csv")) == table.count("\n") - 1


@pytest.mark.slow
def test_the_page_on_python_and_the_readme_run(world, capsys):
    folder, samples = world
    make_features(folder, samples)
    for page in ("docs/python.md", "README.md"):
        names = {}
        for code in python_blocks((ROOT / page).read_text()):
            code = code.replace('backbone="s3d"', 'backbone="tiny", weights="random", device="cpu"')
            code = code.replace('tasks="score"', 'tasks="score", epochs=1, device="cpu", meteor=False')
            code = re.sub(r"^import logging\n\nlogging.basicConfig.*", "", code)  # pytest's own is set up
            exec(compile(code, page, "exec"), names)
    assert np.isfinite(names["run"].summary["spearman"]) and len(names["cache"]) == 24
    assert (folder / "exported" / "s00.npy").exists() and "24 56 []" in capsys.readouterr().out


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    write_synthetic_cache(tmp_path / "feats.h5", 24, 12)
    notebook = json.loads((ROOT / "docs/notebooks/own_figure.ipynb").read_text())
    names = {}
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "outputs are not kept"
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "own_figure.ipynb", "exec"), names)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert len(names["test"]) == 12


def test_shell_blocks_are_found():
    assert shell_blocks("```sh\na  # b\n```\n    aqa-x c\n") == ["a  # b", "aqa-x c"]
