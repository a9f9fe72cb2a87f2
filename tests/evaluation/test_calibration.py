"""Laws of the intervals that a run gives: what is counted, what is said, and where there is none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_cache import small_models, write_synthetic_cache

from aqa_heads.data.score_bounds import score_bounds
from aqa_heads.errors import TrainingError
from aqa_heads.evaluation.calibration import FEWEST_SEEDS, NOT_STRICT, calibration_of, interval_of
from aqa_heads.evaluation.conformal import cv_plus, half_width, half_width_of_groups
from aqa_heads.runs.format import Run, read_run
from aqa_heads.runs.tables import HeldOut
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train


def made(n=40, refit=True, groups=None, spreads=None, seed=0, fold=None, **config):
    """A run of n held-out samples in 5 folds."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 20 + 40.0
    said = true + rng.normal(size=n) * 3
    rows = [
        HeldOut(
            f"s{i}",
            i % 5 + 1 if refit else 1,
            true[i],
            said[i],
            True,
            None if groups is None else groups[i],
            None if spreads is None else spreads[i],
        )
        for i in range(n)
    ]
    table = [
        {
            "sample_id": row.sample_id,
            "split": "test" if fold else "train",
            "group": row.group or "",
            "class_event": "vault" if place % 2 else "beam",
            "final_score": str(row.true),
            "predicted_score": str(row.predicted),
        }
        for place, row in enumerate(rows)
    ]
    if fold:
        table = [row for place, row in enumerate(table) if place % 5 == fold - 1]
    config = {"tasks": ["score"], "refit": refit, "seed": seed, "fold": fold and str(fold)} | config
    return Run(Path("run"), config, [], table, {}, None, rows)


def residuals(run):
    return np.array([abs(row.true - row.predicted) for row in run.out_of_fold])


def whole(*names):
    return {"validation": {"whole_groups": True, "role": "group_person", "groups": list(names)}}


@pytest.mark.parametrize("refit", [True, False])
def test_the_interval_is_the_rank_of_the_held_out_errors(refit):
    run = made(refit=refit)
    (low, high), note = interval_of(run, 60.0)
    assert (high - 60, 60 - low) == pytest.approx((half_width(residuals(run), 0.9).item(),) * 2)
    assert note.startswith("90 %, with 40 calibration samples: 82 to 97 %")
    assert (NOT_STRICT in note) == refit and ("the epoch was chosen on these" in note) != refit
    assert interval_of(run, 60.0, level=0.8)[0][1] < high


def test_a_refitted_run_without_folds_has_none_and_says_what_to_do():
    run = made()
    run = replace(run, out_of_fold=[replace(row, fold=1) for row in run.out_of_fold])
    interval, note = interval_of(run, 60.0)
    assert interval is None and note.endswith("--validation-folds 5") and "\n" not in note
    interval, note = interval_of(replace(run, out_of_fold=()), 60.0)
    assert interval is None and "out_of_fold.csv" in note
    assert interval_of(made(tasks=["caption"]), 60.0) == (None, "no interval: the run predicts no score")
    assert interval_of(made(), float("nan")) == (None, "no interval: the score is not known")


def test_too_few_say_so():
    interval, note = interval_of(made(8), 60.0)
    assert interval is None and note == (
        "no interval: 8 calibration samples are too few for 90 %, which needs 9; they allow 88 % at most"
    )
    assert interval_of(made(8), 60.0, level=0.88)[0] is not None and interval_of(made(9), 60.0)[0]


def test_where_whole_groups_were_held_out_groups_are_counted():
    names = [f"p{i % 8}" for i in range(38)]
    interval, note = interval_of(made(38, groups=names, **whole(*names[:8])), 60.0)
    assert interval is None and "8 people are too few" in note
    names = [f"p{i % 12}" for i in range(38)]
    run = made(38, groups=names, **whole(*names[:12]))
    (low, high), note = interval_of(run, 60.0, group="p1")
    assert high - 60 == pytest.approx(half_width_of_groups(residuals(run), names, 0.9))
    assert note.startswith("90 %, with 12 people: ") and "of group" not in note
    known = made(38, groups=names, validation={"whole_groups": False, "role": "group_person"})
    assert "for a sample of a new person it may be too narrow" in interval_of(known, 60.0)[1]


def test_intervals_are_scaled_by_the_spread_that_the_head_has():
    spreads = np.random.default_rng(0).uniform(1, 4, 40)
    run = made(spreads=spreads)
    (low, high), _ = interval_of(run, 60.0, spread=2.5)
    assert high - 60 == pytest.approx(2.5 * half_width(residuals(run) / spreads, 0.9).item())
    assert interval_of(run, 60.0)[0] == interval_of(made(), 60.0, spread=2.5)[0]  # one of them has none
    assert interval_of(made(spreads=np.r_[0, spreads[1:]]), 60.0, spread=2.5)[0] == interval_of(run, 60.0)[0]


def test_seeds_are_averaged_and_their_spread_scales_where_there_are_enough():
    few, many = ([made(seed=seed) for seed in range(count)] for count in (2, FEWEST_SEEDS))
    for runs in (few, many):
        said = np.array([[row.predicted for row in run.out_of_fold] for run in runs])
        errors = np.abs(np.array([row.true for row in runs[0].out_of_fold]) - said.mean(0))
        points = 60 + np.arange(len(runs))
        scale, by = (1, 1) if runs is few else (points.std(ddof=1), said.std(0, ddof=1))
        (low, high), _ = interval_of(runs, points)
        assert high - points.mean() == pytest.approx(scale * half_width(errors / by, 0.9).item())
    assert interval_of(few, 60.5)[0] == interval_of(few, np.array([60, 61]))[0]
    apart = [made(refit=False), made(refit=False)]
    apart[1] = replace(apart[1], out_of_fold=[HeldOut("other", 1, 1.0, 2.0, True)])
    interval, note = interval_of(apart, 60.0)
    assert interval is None and "no sample was held out in all 2 runs" in note


def test_runs_of_all_test_folds_give_cv_plus():
    runs = [made(fold=fold) for fold in (3, 1, 2, 5, 4)]
    points = np.array([60.0, 61, 59, 60, 64])
    of_fold = {3: 60.0, 1: 61, 2: 59, 5: 60, 4: 64}
    predicted = np.array([of_fold[place % 5 + 1] for place in range(40)])
    interval, note = interval_of(runs, points)
    assert interval == pytest.approx([end.item() for end in cv_plus(predicted, residuals(made()), 0.9)])
    assert "CV+: 65 % are guaranteed" in note
    interval, note = interval_of(runs, 60.8)
    assert NOT_STRICT in note and interval[1] - 60.8 == pytest.approx(
        half_width(residuals(made()), 0.9).item()
    )
    seeds = [*runs, *(replace(run, config=run.config | {"seed": 1}) for run in runs)]
    assert interval_of(seeds, np.r_[points, points])[0] == interval_of(runs, points)[0]
    interval, note = interval_of([runs[0], replace(runs[0], config=runs[0].config | {"fold": "4"})], 60.0)
    assert interval is None and "tested in more than one fold" in note


def test_groups_and_classes_with_enough_samples_are_calibrated_alone():
    groups = ["a"] * 30 + ["b"] * 10
    run = made(groups=groups)
    errors = residuals(run)
    for name, own in (("a", errors[:30]), ("b", errors[30:])):
        (low, high), note = interval_of(run, 60.0, group=name)
        assert high - 60 == pytest.approx(half_width(own, 0.9).item())
        assert f"with {len(own)} calibration samples" in note and f"all of group {name}" in note
    (_, high), _ = interval_of(run, 60.0, group="vault", by="class_event")
    assert high - 60 == pytest.approx(half_width(errors[1::2], 0.9).item())
    interval, note = interval_of(run, 60.0, group="b", level=0.95)  # 10 are too few for that
    assert interval == interval_of(run, 60.0, level=0.95)[0] and "10 of them of group b, too few" in note
    assert "0 of them of group new" in interval_of(run, 60.0, group="new")[1]


def test_the_scale_clips_and_the_training_range_does_not():
    assert interval_of(made(score_range=[0.0, 61.0]), 60.0)[0][1] == 61
    assert interval_of(made(score_range=[0.0, 100.0]), 60.0)[0] == interval_of(made(), 60.0)[0]
    assert interval_of(made(), 60.0)[0][1] > max(row.true for row in made().out_of_fold)
    assert interval_of(made(score_range=[0.0, 50.0]), 60.0)[0] == (50, 50)  # a prediction beyond it


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Real ones: with spreads, of known groups; and by default, of 12 whole groups with a scale in the
    annotations.
    """
    folder = tmp_path_factory.mktemp("calibration")

    def apart(index, sample):
        group = f"g{index % 12}" if sample.split == "train" else "new"
        return replace(sample, group=group, extra={"score_min": "-50", "score_max": "200"})

    common = {"tasks": ("score",), "epochs": 2, "device": "cpu", "lr": 3e-3, "out": folder}
    with small_models():
        paths = [write_synthetic_cache(folder / "known.h5", 24, 8)]
        paths.append(write_synthetic_cache(folder / "new.h5", 24, 8, change=apart))
        return [
            train(TrainingConfig(path, name=path.stem, score_range=ends, score_head=head, **common))
            for path, head, ends in zip(paths, ("gaussian", None), [(-100, 300), None], strict=True)
        ]


def test_through_a_real_run(runs):
    known, new = map(calibration_of, runs)
    assert known.n == len(runs[0].out_of_fold) == 24 and new.n == 12 and new.counted == "12 groups"
    assert (known.scale, new.scale) == ((-100, 300), (-50, 200))
    for run, calibration in zip(runs, (known, new), strict=True):
        (low, high), note = calibration.interval(60.0)
        assert low < 60 < high and NOT_STRICT in note
        assert interval_of(read_run(run.folder), 60.0) == ((low, high), note)
    spreads = np.array([row.spread for row in runs[0].out_of_fold])
    (low, high), _ = known.interval(60.0, spread=2.0)
    assert high - 60 == pytest.approx(2 * half_width(residuals(runs[0]) / spreads, 0.9).item())
    assert new.spreads is None and {row.spread for row in runs[1].out_of_fold} == {None}
    assert runs[1].config["validation"]["role"] == "group"
    assert {row.group for row in runs[1].out_of_fold} == {f"g{number}" for number in range(12)}


def test_tables_of_before_have_neither_group_nor_spread(runs, tmp_path):
    lines = (runs[1].folder / "out_of_fold.csv").read_text().splitlines()
    assert lines[0] == "sample_id,fold,true,predicted,chose_epoch,group,spread"
    before = replace(
        runs[1], out_of_fold=[replace(row, group=None, spread=None) for row in runs[1].out_of_fold]
    )
    assert interval_of(before, 60.0) == interval_of(runs[1], 60.0)  # groups are in predictions.csv


@pytest.mark.parametrize(
    ("extra", "asked", "said"),
    [
        ({}, (0, 50), "a: final_score is 60, beyond score_range, 0 to 50"),
        ({"score_min": "0", "score_max": "50"}, None, "a: final_score is 60, beyond its score_min"),
        ({"score_min": "x", "score_max": "50"}, None, "score_min is 'x', expected a finite number"),
        ({"score_min": "70", "score_max": "50"}, None, "expected a lower and a higher number"),
    ],
)
def test_scores_beyond_the_scale_are_one_message(extra, asked, said):
    from aqa_cache.annotations import Sample

    with pytest.raises(TrainingError, match=said):
        score_bounds([Sample("a", "a.avi", final_score=60.0, extra=extra)], asked)


def test_the_scale_is_the_widest_of_all_samples_or_not_known():
    from aqa_cache.annotations import Sample

    samples = [
        Sample("a", "v", final_score=5.0, extra={"score_min": "0", "score_max": "10"}),
        Sample("b", "v", final_score=15.0, extra={"score_min": "1", "score_max": "20"}),
    ]
    assert score_bounds(samples, None) == ((0, 20), [])
    bounds, (note,) = score_bounds([*samples, Sample("c", "v", final_score=1.0)], None)
    assert bounds is None and note.startswith("1 of 3 samples") and "first: c" in note
    assert score_bounds([Sample("c", "v", final_score=1.0)], None) == (None, [])


@pytest.mark.parametrize("ends", [(1,), (5, 5), (0, float("inf")), 3.0, "0,1", (0, "1")])
def test_a_range_that_is_none_is_refused(ends):
    with pytest.raises(TrainingError, match="score_range is .* such as 0,100"):
        TrainingConfig("feats.h5", score_range=ends)
