"""The best of several configurations by validation: what is tested, and what is not."""

import csv
from dataclasses import replace

import pytest
from click.testing import CliRunner
from synthetic_cache import write_synthetic_cache

from aqa_cli.train import main
from aqa_heads.candidates import chosen_configs, compare
from aqa_heads.errors import TrainingError
from aqa_heads.evaluation.metrics import relative_l2
from aqa_heads.report.families import read_families
from aqa_heads.report.results import find_runs
from aqa_heads.report.writing import write_report
from aqa_heads.runs.format import read_run
from aqa_heads.settings.choices import CANDIDATES
from aqa_heads.table import table_configs, train_table
from aqa_heads.training.run import train

SETTINGS = {"tasks": ("score",), "epochs": 2, "encoder_hidden": 8, "validation_folds": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return write_synthetic_cache(tmp_path_factory.mktemp("candidates") / "feats.h5")


@pytest.fixture(scope="module")
def configs(features):
    return table_configs(
        features,
        "default,ridge",
        encoder=["average", "attention"],
        seeds=2,
        out=features.parent / "runs",
        **SETTINGS,
    )


@pytest.fixture(scope="module")
def contest(configs):
    (contest,) = compare(configs)
    return contest


def test_every_configuration_is_a_candidate_and_none_is_tested(configs, contest):
    out = configs[0].out / CANDIDATES
    assert len(contest.candidates) == 3 and len(list(out.iterdir())) == 6
    for folder in out.iterdir():
        run = read_run(folder)
        assert run.summary["n_test"] == 0 and run.summary["spearman"] is None
        assert {row["split"] for row in run.predictions} == {"train"}


def test_the_criterion_is_that_of_predictions_of_models_that_did_not_learn_from_the_sample(configs, contest):
    runs = [read_run(folder) for folder in (configs[0].out / CANDIDATES).iterdir()]
    for candidate in contest.candidates:
        of_seeds = [run for run in runs if run.config["label"] == candidate.label]
        found = [
            relative_l2([row.predicted for row in run.out_of_fold], [row.true for row in run.out_of_fold])
            for run in of_seeds
        ]
        assert len(found) == 2 and candidate.relative_l2 == pytest.approx(sum(found) / 2)
    assert contest.best.relative_l2 == min(candidate.relative_l2 for candidate in contest.candidates)


def test_the_chosen_one_is_what_it_is_when_it_is_trained_alone(configs, contest, tmp_path):
    chosen = chosen_configs(configs, [contest])
    assert [config.seed for config in chosen] == [0, 1]
    run = train(chosen[0])
    plain = train(replace(contest.best.config, seed=0, out=tmp_path))
    assert run.folder.name == "chosen" and run.predictions == plain.predictions and run.summary["n_test"]
    record = run.config["choice"]
    assert record["chosen"] == contest.best.label and len(record["candidates"]) == 3


def test_one_configuration_or_no_validation_is_one_message(configs):
    with pytest.raises(TrainingError, match="there is one configuration"):
        compare(configs[:2])
    with pytest.raises(TrainingError, match="no validation to choose by"):
        compare([replace(config, protocol="paper", validation_folds=None) for config in configs])


def test_each_fold_chooses_for_itself_and_they_are_one_row(features, tmp_path):
    arguments = [
        "--features",
        features,
        "--exp",
        "default,ridge",
        "--choose",
        "--folds",
        2,
        "--tasks",
        "score",
    ]
    arguments += ["--epochs", 1, "--validation-folds", 2, "--device", "cpu", "--out", tmp_path]
    result = CliRunner(env={"COLUMNS": "160"}).invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert result.output.count("← chosen") == 2 and "not looked at" in result.output
    (family,) = read_families(find_runs([tmp_path]))
    assert family.folds == ["1/2", "2/2"] and family.label == "chosen, best of 2 by validation"


def test_a_sweep_in_nested_folders_is_one_report_with_what_varies_as_columns(features, tmp_path):
    for dropout in (0.0, 0.5):
        settings = SETTINGS | {
            "epochs": 1,
            "dropout": dropout,
            "out": tmp_path / "sweep" / f"dropout {dropout}",
        }
        train_table(features, "default", **settings)
    page = write_report([tmp_path], tmp_path / "report.html")
    shown = page.read_text()
    assert shown.count(">Dropout</th>") == 1 and ">Lr</th>" not in shown
    with open(tmp_path / "report_files" / "results.csv") as file:
        assert [row["dropout"] for row in csv.DictReader(file) if row["kind"] == "run"] == ["0.0", "0.5"]
