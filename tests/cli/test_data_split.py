import pytest
from click.testing import CliRunner

from aqa_cache.annotations import read_annotations
from aqa_cli.data import data

TEXT = "video;Score;Athlete\n" + "".join(f"{n}.mp4;{n},5;a{n // 3}\n" for n in range(30))


@pytest.fixture
def split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.csv").write_text(TEXT)
    return lambda *words: CliRunner().invoke(data, ["split", "scores.csv", *words])


def by(samples, name):
    """The groups of every side."""
    return {
        side: {one.group for one in samples if getattr(one, name) == side}
        for side in {getattr(one, name) for one in samples}
    }


def test_a_test_part_of_whole_athletes_with_floors_and_leaks(split):
    result = split("--test", ".2", "--group", "athlete")
    assert result.exit_code == 0, result.output
    samples = read_annotations("annotations.csv")
    sides = by(samples, "split")
    assert sides.keys() == {"train", "test"} and not sides["train"] & sides["test"]
    assert len(sides["test"]) == 2 and samples[4].final_score == 4.5 and samples[4].group == "a1"
    assert "annotations.csv: no leak." in result.stdout and "(floors)" in result.stdout
    assert "Wrote annotations.csv: 30 rows." in result.stdout
    assert CliRunner().invoke(data, ["audit", "annotations.csv"]).exit_code == 0


def test_folds_of_whole_athletes(split):
    result = split("--folds", "5", "--group", "Athlete", "-o", "folds.csv")
    assert result.exit_code == 0, result.output
    folds = by(read_annotations("folds.csv"), "fold")
    assert sorted(folds) == list("12345") and sum(map(len, folds.values())) == 10
    assert "folds.csv: no leak." in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Give --test SHARE or --folds K"),
        (["--test", ".2", "--folds", "5"], "one of them"),
        (["--test", "2"], "expected a number between 0 and 1"),
        (["--folds", "1"], "folds is 1, expected a whole number from 2 to 30"),
        (["--test", ".2", "--group", "team"], "has no column 'team' to group by; there is Athlete"),
        (["--test", ".2", "-o", "scores.csv"], "exists already"),
    ],
)
def test_what_cannot_be_divided_is_one_message(split, tmp_path, words, said):
    result = split(*words)
    assert result.exit_code == 2 and said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


def test_a_table_with_a_split_is_left_alone(split):
    assert split("--test", ".2").exit_code == 0
    result = CliRunner().invoke(data, ["split", "annotations.csv", "--test", ".5", "-o", "other.csv"])
    assert result.exit_code == 2 and "30 samples have a split already; empty that column" in result.stderr
