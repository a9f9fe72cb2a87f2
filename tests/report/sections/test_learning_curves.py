"""Laws of the curves by epoch: which they are called, what is averaged, which epoch is marked."""

import numpy as np
import pytest
from made_runs import leave_out_drawing, make_run, read_table, report

from aqa_heads.report.families import read_families
from aqa_heads.report.sections.learning_curves import _LOSS, _TEST, _VALIDATION, _curve


@pytest.fixture
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_the_curve_is_of_the_validation_samples_or_of_the_test_and_named_so(tmp_path, undrawn):
    honest, paper = make_run(tmp_path / "baseline"), make_run(tmp_path / "exp1", "1", protocol="paper")
    text = report(tmp_path, honest).text
    assert "Validation correlation by epoch" in text and "Test correlation by epoch" not in text
    assert "The test samples are not looked at while training" in text
    text = report(tmp_path, paper).text
    assert "Test correlation by epoch" in text and "Validation correlation by epoch" not in text
    text = report(tmp_path, honest, paper).text
    assert "Validation correlation by epoch (the paper’s Figure 9)" in text and "None: Exp 1." in text
    assert "Test correlation by epoch (the paper’s Figure 9)" in text and "None: Baseline." in text


def test_the_reported_epoch_is_marked_where_it_was_chosen(tmp_path):
    (family,) = read_families([make_run(tmp_path / "baseline", epochs=6)])
    values = [float(row["val_spearman"]) for row in read_table(tmp_path / "baseline" / "metrics.csv")]
    assert _curve(family, _VALIDATION).chosen == ((5.0, values[4]),)
    (family,) = read_families([make_run(tmp_path / "paper", protocol="paper")])
    assert _curve(family, _TEST).chosen == () and _curve(family, _VALIDATION) is None


def test_the_mean_over_seeds_ends_where_the_first_of_them_ended(tmp_path):
    runs = [make_run(tmp_path / str(seed), seed=seed, epochs=epochs) for seed, epochs in ((0, 6), (1, 4))]
    # What stopped early was asked for as many epochs.
    for run in runs:
        config = (run / "config.json").read_text()
        (run / "config.json").write_text(config.replace('"epochs": 4', '"epochs": 6'))
    (family,) = read_families(runs)
    curve = _curve(family, _LOSS)
    losses = [[float(row["train_loss"]) for row in read_table(run / "metrics.csv")] for run in runs]
    assert list(curve.epochs) == [1, 2, 3, 4]
    np.testing.assert_allclose(curve.values, np.mean([losses[0][:4], losses[1]], axis=0))
    assert [len(values) for _, values in curve.members] == [6, 4] and len(curve.chosen) == 2


def test_every_trained_row_has_its_own_pair_and_references_have_none(tmp_path):
    page = report(
        tmp_path,
        make_run(tmp_path / "0", n=12),
        make_run(tmp_path / "1", seed=1, n=12),
        make_run(tmp_path / "ridge", "ridge", n=12),
    )
    files = {file.name for file in (tmp_path / "report_files").iterdir()}
    assert {"training_loss_baseline.png", "validation_correlation_baseline.png"} <= files
    assert not any("ridge" in name for name in files if not name.startswith("scatter"))
    assert "Thin lines: single runs; thick: their mean" in page.text
    assert "Learning curves" not in report(tmp_path, tmp_path / "ridge").text


def test_runs_with_and_without_test_scores_stand_together(tmp_path, undrawn):
    page = report(tmp_path, make_run(tmp_path / "baseline"), make_run(tmp_path / "exp1", "1", n=0))
    assert "Correlation: none recorded." in page.text and "None: Exp 1." in page.text
