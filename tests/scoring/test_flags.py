"""Which samples are sent to a person, and why."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from scored_table import scored, table_of
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cli.score import main
from aqa_cli.score_shown import show
from aqa_heads import TrainingConfig, score_table, train
from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.scoring.flags import FEWEST, RARE, RATE, UNLIKE, WIDE
from aqa_heads.scoring.page.writing import write_pages
from aqa_heads.scoring.results import Flag

TRAIN = 40
EVENTS = ["beam"] * 20 + ["vault"] * 16 + ["bars"] * 4 + ["beam", "vault", "bars", "rings", None, None]


pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty samples, few of one class, learned from by a head that has a spread."""
    folder = tmp_path_factory.mktemp("flags")

    def classes(index, sample):
        event = EVENTS[index]
        return replace(sample, group=None, classes={} if event is None else {"event": event})

    path = write_synthetic_cache(folder / "feats.h5", train=TRAIN, test=len(EVENTS) - TRAIN, change=classes)
    settings = {"epochs": 1, "tasks": ("score", "classes"), "device": "cpu", "threads": 1}
    with small_models():
        train(
            TrainingConfig(
                path,
                "default",
                score_head="gaussian",
                validation_folds=5,
                out=folder,
                name="run",
                **settings,
            )
        )
    return folder


def names(score, name):
    return [flag.reason for flag in score.flags if flag.name == name]


def test_an_interval_is_as_wide_as_its_rank_among_those_of_the_calibration_samples():
    rng = np.random.default_rng(0)
    spreads = rng.uniform(1, 2, 39)
    made = Calibration(np.abs(rng.normal(size=39)), spreads, scale=(0.0, 1.0))
    for spread in (0.5, *spreads[:5], 1.5, 3.0):
        expected = (1 + (spreads >= spread).sum()) / 40
        assert made.share_as_wide(0.5, spread) == pytest.approx(expected)
    assert made.share_as_wide(0.5, 3.0) == 1 / 40  # the narrow scale, to which ends are clipped, is no matter
    assert replace(made, spreads=None, _widths={}).share_as_wide(0.5) == 1
    assert replace(made, lacking="no", _widths={}).share_as_wide(0.5, 3.0) is None
    assert Calibration(np.ones(5)).share_as_wide(0.5) is None  # too few for 90 %
    folds = {"folds": np.arange(39) % 3, "fold_of_run": np.arange(3)}
    assert replace(made, **folds, _widths={}).share_as_wide([0.1, 0.5, 0.9]) is None


def test_classes_with_an_interval_of_their_own_are_compared_with_the_others():
    labels = ["rings"] * 20 + ["beam"] * 380
    errors = np.r_[np.full(20, 9.0), np.linspace(0, 1, 380)]
    made = Calibration(errors, labels={"class_event": labels})
    assert made.share_as_wide(0.0, None, "rings", 0.9, "class_event") == pytest.approx(21 / 401)
    assert made.share_as_wide(0.0, None, "beam", 0.9, "class_event") == 1


def test_of_samples_like_those_of_calibration_no_more_are_flagged_than_is_said():
    rng = np.random.default_rng(1)
    drawn = rng.exponential(size=(2000, 40))
    flagged = [
        Calibration(np.ones(39), row[:39]).share_as_wide(0.0, row[39]) <= RATE for row in drawn
    ]  # the 2 widest of 40
    assert 0.035 <= np.mean(flagged) <= 0.065


def test_the_class_that_has_few_training_samples_is_named(folder):
    found = {one.sample_id: one for one in score_table(folder / "run", features=folder / "feats.h5").scores}
    assert not names(found["s40"], RARE) and not names(found["s41"], RARE)
    assert "event bars has 4 training samples, fewer than 5" in names(found["s42"], RARE)[0]
    assert "event rings has no training samples, fewer than 5" in names(found["s43"], RARE)[0]
    for name in ("s44", "s45"):  # as the run says
        likely = next(iter(found[name].classes["event"]))
        assert bool(names(found[name], RARE)) == (likely == "bars")
    assert FEWEST == 5


def test_a_run_of_before_is_counted_by_its_table_and_a_model_file_says_that_it_is_not(folder, tmp_path):
    run = shutil.copytree(folder / "run", tmp_path / "run")
    (run / "training_samples.safetensors").unlink()
    config = json.loads((run / "config.json").read_text())
    config.pop("files")
    (run / "config.json").write_text(json.dumps(config))
    of = {"features": folder / "feats.h5"}
    expected = {one.sample_id: names(one, RARE) for one in score_table(folder / "run", **of).scores}
    assert {one.sample_id: names(one, RARE) for one in score_table(run, **of).scores} == expected
    alone = score_table(run / "model.safetensors", **of)
    assert not any(one.flags for one in alone.scores)
    assert any("each class had is not known" in note for note in alone.notes)


def test_the_widest_intervals_are_flagged(folder):
    run, of = folder / "run", {"features": folder / "feats.h5"}
    scores = score_table(run, **of).scores
    widths = [one.interval[1] - one.interval[0] for one in scores]
    shares = [one.share_as_wide for one in scores]
    assert [shares[place] for place in np.argsort(widths)] == sorted(shares, reverse=True)
    assert all(bool(names(one, WIDE)) == (one.share_as_wide <= RATE) for one in scores)


def test_flags_are_in_the_terminal_in_the_table_and_on_the_page(folder, tmp_path, capsys):
    words = [folder / "run", "--features", folder / "feats.h5", "-o", tmp_path / "out"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "have a person look at it: its class is hardly known: event rings" in result.output
    with open(tmp_path / "out/scores.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["sample_id"] == "s43")
    assert RARE in row["flags"].split() and row["notes"].partition(";")[0] and "event rings" in row["notes"]
    record = json.loads((tmp_path / "out/scores.json").read_text())
    kept = next(one for one in record["scores"] if one["sample_id"] == "s43")["flags"]
    assert any(flag["name"] == RARE and "event rings" in flag["reason"] for flag in kept)
    assert "hardly known class" in (tmp_path / "out/index.html").read_text()
    assert "event rings" in (tmp_path / "out/pages/s43.html").read_text()
    flagged = scored("a", "v.mp4", flags=(Flag(UNLIKE, "one"), Flag(WIDE, "two"), Flag(RARE, "three")))
    show(table_of(None, flagged, scored("b", "v.mp4")))
    said = capsys.readouterr().out
    assert "unlike wide rare" in said and "  have a person look at it: two" in said
    write_pages(table_of(None, flagged), tmp_path / "one")
    page = (tmp_path / "one/index.html").read_text()
    assert all(f"{word}." in page for word in ("One", "Two", "Three")) and "this is not" in page
    show(table_of(None, scored("b", "v.mp4")))
    assert "flags" not in capsys.readouterr().out
