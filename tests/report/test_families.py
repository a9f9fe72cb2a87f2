"""Laws of the rows of a report: which runs are one row, and what their numbers are together."""

import numpy as np
import pytest
from made_runs import change_tests, make_end_to_end, make_run

from aqa_heads.evaluation.bootstrap import spearman_interval
from aqa_heads.evaluation.comparison import paired_difference, seed_mean
from aqa_heads.evaluation.metrics import fisher_z_average
from aqa_heads.report.families import read_families
from aqa_heads.report.intervals import GROUPS, SAMPLES, Intervals


def families(*runs):
    return read_families(runs)


@pytest.fixture
def seeds(tmp_path):
    """Two rows of three seeds each, on the same test samples."""
    for name, experiment, rho in (("baseline", "baseline", 0.5), ("exp1", "1", 0.8)):
        for seed in range(3):
            make_run(tmp_path / f"{name}-seed{seed}", experiment, rho=rho, seed=seed, n=30)
    return sorted(tmp_path.iterdir())


def test_runs_that_differ_only_in_seed_are_one_row_with_mean_and_std(seeds):
    baseline, other = families(*reversed(seeds))
    assert [baseline.short, other.short] == ["Baseline", "Exp 1"]
    assert [result.seed for result in baseline.results] == [0, 1, 2]
    assert [result.short for result in baseline.results] == [f"Baseline, seed {n}" for n in range(3)]
    rho = [result.number("spearman") for result in baseline.results]
    assert baseline.number("spearman") == pytest.approx(np.mean(rho))
    assert baseline.std(rho) == pytest.approx(np.std(rho, ddof=1))
    assert baseline.spread_over == "seeds" and baseline.fisher_z is None


def arrays(family):
    names = list(family.truth)
    predicted = np.array([[result.scored[name][1] for name in names] for result in family.results])
    return np.array([family.truth[name] for name in names]), predicted


def test_intervals_and_differences_of_seeds_are_those_of_the_comparison(seeds):
    baseline, other = families(*seeds)
    expected = seed_mean(*arrays(baseline))  # four groups: samples are drawn
    assert (baseline.number("spearman"), *Intervals([baseline, other]).of(baseline)) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    true, first = arrays(other)
    expected = paired_difference(true, first, arrays(baseline)[1])
    found = Intervals([baseline, other]).difference(other, baseline)
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert found.std == pytest.approx(expected.std) and found.n == 30 and found.seeds == (3, 3)


def test_a_difference_does_not_depend_on_the_order_of_the_samples(seeds, tmp_path):
    baseline, other = families(*seeds)
    expected = Intervals([baseline, other]).difference(other, baseline)
    for run in seeds:
        if run.name.startswith("baseline"):
            head, *lines = (run / "predictions.csv").read_text().splitlines()
            (run / "predictions.csv").write_text("\n".join([head, *reversed(lines)]) + "\n")
    baseline, other = families(*seeds)
    assert list(baseline.truth) != list(other.truth)
    assert Intervals([baseline, other]).difference(other, baseline) == expected


def test_a_single_run_has_the_interval_of_its_summary(tmp_path):
    (family,) = families(make_run(tmp_path / "baseline"))
    groups = list(family.group_of.values())
    assert Intervals([family]).of(family) == spearman_interval(*family.first.scores, groups=groups)
    assert family.spread_over == "" and family.std(family.numbers("spearman")) is None


def test_folds_are_averaged_plainly_and_by_fisher_z_and_resampled_together(tmp_path):
    runs = [
        make_run(tmp_path / f"exp1-fold-{k}-3", "1", fold=f"{k}/3", first=20 * k, n=20) for k in (1, 2, 3)
    ]
    (family,) = families(*runs)
    rho = [result.number("spearman") for result in family.results]
    assert family.folds == ["1/3", "2/3", "3/3"] and family.spread_over == "folds"
    assert family.number("spearman") == pytest.approx(np.mean(rho))
    assert family.fisher_z == pytest.approx(fisher_z_average(rho))
    assert family.std(rho) == pytest.approx(np.std(rho, ddof=1))
    assert len(family.truth) == 60
    low, high = Intervals([family]).of(family)
    # A fold alone has a third of the samples, and so a wider interval.
    assert low < np.mean(rho) < high and high - low < np.ptp(spearman_interval(*family.first.scores))
    assert family.floors["difficulty"].n == 120


def test_with_seeds_and_folds_the_spread_is_that_of_the_seeds(tmp_path):
    runs = [
        make_run(tmp_path / f"{seed}-{k}", fold=f"{k}/2", first=20 * k, n=20, seed=seed)
        for seed in (0, 1)
        for k in (1, 2)
    ]
    (family,) = families(*runs)
    rho = np.array([result.number("spearman") for result in family.results]).reshape(2, 2)
    assert family.std(list(rho.ravel())) == pytest.approx(np.std(rho.mean(axis=1), ddof=1))
    assert family.results[3].short == "Baseline, seed 1, fold 2/2"


def test_what_is_undefined_in_one_run_is_undefined_in_the_mean(tmp_path):
    runs = [make_run(tmp_path / str(seed), seed=seed, n=12) for seed in (0, 1)]
    make_run(tmp_path / "2", seed=2, n=12, summary={"spearman": None})
    (family,) = families(*runs, tmp_path / "2")
    assert (
        family.number("spearman") is None
        and Intervals([family]).of(family) is None
        and family.number("mae") is not None
    )
    assert family.std(family.numbers("spearman")) is None


@pytest.mark.parametrize("differs", ["protocol", "label", "identity"])
def test_runs_that_differ_in_anything_else_are_rows_of_their_own(tmp_path, differs):
    config = {"label": {"label": "Baseline (residual)"}, "identity": {"identity": None}}.get(differs, {})
    protocol = "paper" if differs == "protocol" else "honest"
    found = families(
        make_run(tmp_path / "a", seed=0, n=12),
        make_run(tmp_path / "b", seed=1, n=12, config=config, protocol=protocol),
    )
    assert len(found) == 2 and len({family.short for family in found}) == 2


def test_a_seed_that_is_there_twice_is_not_averaged(tmp_path):
    runs = [
        make_run(tmp_path / parent / f"exp1-seed{seed}", "1", n=12, seed=seed)
        for parent in "ab"
        for seed in (0, 1)
    ]
    assert [len(family.results) for family in families(*runs)] == [2, 2]
    assert [family.short for family in families(*runs)] == ["a/exp1", "b/exp1"]
    again = [make_run(tmp_path / "a" / "again", "1", n=12, seed=0)]
    assert sorted(len(family.results) for family in families(*runs, *again)) == [1, 1, 1, 2]


def test_references_come_after_table_1_and_other_runs_last(tmp_path):
    runs = [
        make_run(tmp_path / name, experiment, n=12)
        for name, experiment in (("svr", "c3d-svr"), ("r", "ridge"), ("e7", "7"), ("b", "baseline"))
    ]
    own = make_run(tmp_path / "own", n=12, config={"experiment": "own"})
    assert [family.short for family in families(*runs, own)] == [
        "Baseline",
        "Exp 7",
        "Ridge",
        "C3D-SVR",
        "own",
    ]


def test_rows_with_other_samples_or_other_scores_are_not_compared(tmp_path):
    one = make_run(tmp_path / "one", n=12)
    other = make_run(tmp_path / "other", "1", n=14)
    found = families(one, other)
    intervals = Intervals(found)
    assert intervals.difference(*found) is None
    assert intervals.difference(found[0], found[0]).value == 0


def test_whole_groups_are_drawn_where_there_are_five_with_every_sample_in_one(tmp_path):
    runs = [make_run(tmp_path / name, name, n=60) for name in ("baseline", "1")]
    found = families(*runs)
    intervals = Intervals(found)
    for family in found:
        groups = list(family.group_of.values())
        assert intervals.of(family) == spearman_interval(*family.first.scores, groups=groups)
        assert intervals.of(family) != spearman_interval(*family.first.scores)
        assert intervals.drawn(family) == GROUPS
    true, first = arrays(found[0])
    expected = paired_difference(true, first, arrays(found[1])[1], groups=groups)
    made = intervals.difference(*found)
    assert (made.low, made.high) == (expected.low, expected.high)
    for group in (lambda number: f"{number % 4}", lambda number: f"{number % 9}" if number else "", str):
        (family,) = families(change_tests(runs[0], "group", group))
        intervals = Intervals([family])
        assert intervals.of(family) == spearman_interval(*family.first.scores)
        assert intervals.drawn(family) == SAMPLES


def test_folds_of_few_groups_are_drawn_as_samples(tmp_path):
    """Drawing 6 groups of 3 folds often leaves a fold without any."""
    runs = [make_run(tmp_path / str(k), fold=f"{k}/3", first=18 * k, n=18) for k in (1, 2, 3)]
    (family,) = families(*runs)
    intervals = Intervals([family])
    assert len(family.groups) == 6 and intervals.of(family) is not None
    assert intervals.drawn(family) == SAMPLES


def test_rows_trained_end_to_end_are_their_own_rows_and_say_what_more_differs(tmp_path):
    runs = [
        make_run(tmp_path / "baseline", n=12),
        make_end_to_end(tmp_path / "tuned", n=12),
        make_end_to_end(tmp_path / "tuned-seed1", n=12, seed=1),
        make_end_to_end(tmp_path / "warm", n=12, config={"label": "Baseline (end to end, warm start)"}),
        make_end_to_end(tmp_path / "exp1", "1", n=12),
    ]
    found = families(*runs)
    assert [family.short for family in found] == [
        "Baseline",
        "Baseline end to end",
        "Baseline end to end, warm start",
        "Exp 1 end to end",
    ]
    assert [family.end_to_end for family in found] == [False, True, True, True]
    assert found[1].seeds == [0, 1] and found[2].slug == "baseline_end_to_end_warm_start"
