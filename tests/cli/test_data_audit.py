import json

import pytest
from click.testing import CliRunner
from make_feature_cache_v1 import SPEC, VIEWS, records
from synthetic_cache import tuned_on, write_synthetic_cache

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.cache_file.writer import write_cache
from aqa_cli.data import data


def run(*arguments):
    return CliRunner().invoke(data, ["audit", *map(str, arguments)])


@pytest.fixture
def table(tmp_path):
    def write(*rows, **known):
        samples = [
            Sample(
                name,
                "a.mp4",
                start,
                start + 10,
                split=split,
                final_score=50.0 + start,
                difficulty=1.0 + start,
                **known,
            )
            for name, start, split in rows
        ]
        write_annotations(tmp_path / "annotations.csv", samples)
        return tmp_path / "annotations.csv"

    return write


def test_a_split_without_a_leak(table):
    path = table(("x", 0, "train"), ("y", 10, "train"), ("z", 20, "test"), ("w", 30, "test"))
    result = run(path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 train, 2 test" in result.stdout and f"{path}: no leak." in result.stdout
    difficulty = next(line for line in result.stdout.splitlines() if line.startswith("difficulty "))
    assert difficulty.split()[1:] == ["1.000", "0.000", "0.00", "2"]


def test_a_leak_is_an_exit_code_and_a_sentence(table):
    result = run(table(("x", 0, "train"), ("y", 9, "test")))
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())  # a narrow terminal wraps it
    assert "1 of 1 test samples is also in train (1 with overlapping frames): y with x (1 frame)" in said
    assert "LEAK. aqa-train refuses this split" in said


@pytest.mark.parametrize("other", ["./a.mp4", "sub/../a.mp4", "soft.mp4", "copy.mp4", "absolute"])
def test_names_of_one_video_are_a_leak(tmp_path, other):
    (tmp_path / "a.mp4").write_bytes(b"frames")
    (tmp_path / "copy.mp4").write_bytes(b"frames")
    (tmp_path / "sub").mkdir()
    (tmp_path / "soft.mp4").symlink_to("a.mp4")
    other = str(tmp_path / "a.mp4") if other == "absolute" else other
    rows = [Sample("x", "a.mp4", split="train"), Sample("y", other, split="test")]
    write_annotations(tmp_path / "t.csv", rows)
    result = run(tmp_path / "t.csv")
    assert result.exit_code == 1 and "1 of 1 test samples is also in train" in result.stdout


def test_json_holds_everything(table, tmp_path):
    path = table(("x", 0, "train"), ("y", 9, "test"))
    result = run(path, "--json", tmp_path / "audit.json")
    record = json.loads((tmp_path / "audit.json").read_text())
    assert result.exit_code == 1 and record["leaks"][0]["frames"] == 1
    piped = run(path, "--json", "-")
    assert piped.exit_code == 1 and json.loads(piped.stdout) == record
    missing = run(path, "--json", tmp_path / "nowhere" / "audit.json")
    assert missing.exit_code == 2 and "there is no folder" in missing.stderr


def test_a_fold_is_audited_as_the_test_split(table):
    path = table(("x", 0, None), ("y", 9, None), fold="1")
    assert "there are folds: audit each with --fold (1)" in run(path).stdout
    assert run(path, "--fold", "1").exit_code == 0
    wrong = run(path, "--fold", "3")
    assert wrong.exit_code == 2 and "has no fold '3'; its folds: 1" in wrong.stderr


def test_a_table_without_a_split_says_so(table):
    result = run(table(("x", 0, None), ("y", 9, None)))
    assert (
        result.exit_code == 0 and "No sample has a split" in result.stdout and "no leak." not in result.stdout
    )


def test_without_a_split_nothing_is_said_of_groups_on_its_sides(table):
    grouped = run(table(("x", 0, None), ("y", 9, None), group="g")).stdout
    assert "none are given" not in grouped
    assert "none are given" in run(table(("x", 0, "train"), ("y", 9, "test"))).stdout


def test_a_cache_is_audited_without_its_failed_samples(tmp_path):
    write_cache(tmp_path / "feats.h5", records(), SPEC, views=VIEWS, numerics={"device": "cpu"})
    result = run(tmp_path / "feats.h5")
    assert "1 sample(s) without features are left out" in result.stdout and result.exit_code in (0, 1)


def test_a_cache_of_a_fine_tuned_backbone_is_audited_for_what_it_learned_from(tmp_path):
    path = write_synthetic_cache(
        tmp_path / "tuned.h5", weights="exp2-end-to-end", tuned=tuned_on(0, 1, 12, 13, chosen=(2,))
    )
    result = run(path)
    text = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert (
        "The backbone was fine-tuned in exp2-end-to-end, on 4 samples, an epoch of it chosen on 1: looked for"
        " among" in text
    )
    assert (
        "2 of 6 test samples are, by sample_id, among those that the backbone was fine-tuned on: s12, s13"
        in text
    )
    assert "LEAK. aqa-train refuses" in text
    clean = run(write_synthetic_cache(tmp_path / "clean.h5", tuned=tuned_on(0, 1, chosen=(2,))))
    assert clean.exit_code == 0 and "no leak." in clean.stdout


@pytest.mark.parametrize(
    "name, message", [("none.csv", "cannot be read"), ("none.h5", "none.h5"), ("x.txt", "expected a feature")]
)
def test_what_cannot_be_audited_is_one_message(tmp_path, name, message):
    result = run(tmp_path / name)
    assert result.exit_code == 2 and message in result.stderr and result.stdout == ""
