"""The card of a run says what its files say."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.weights.published import WEIGHTS
from aqa_heads.evaluation.calibration import Calibration, calibration_of
from aqa_heads.runs.format import read_run
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.model_card import LICENCES, model_card
from aqa_heads.training.run import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    path = write_synthetic_cache(folder / "feats.h5", test=24)
    with small_models():
        return train(
            TrainingConfig(path, "baseline", epochs=1, device="cpu", meteor=False, out=folder / "runs")
        )


def test_every_published_weight_has_a_licence():
    assert LICENCES.keys() == WEIGHTS.keys()


def test_a_run_is_given_back_as_it_is_read(run):
    read = read_run(run.folder)
    assert replace(run, vocabulary=None) == replace(read, vocabulary=None)
    assert run.vocabulary.words == read.vocabulary.words


def test_the_card_has_the_results_with_their_interval(run):
    text = (run.folder / "MODEL_CARD.md").read_text()
    low, high = run.summary["interval"]
    for number in (run.summary["spearman"], run.summary["mae"], low, high):
        assert f"{number:.3f}" in text
    for name, value in run.summary["class_accuracy"].items():
        assert f"| accuracy of {name} | {value:.3f} |" in text
    for name in ("mae", "relative_l2", "pearson"):
        low, high = run.summary["intervals"][name]
        assert low <= run.summary[name] <= high and f"{low:.3f} to {high:.3f}" in text
    for name, (low, high) in run.summary["class_intervals"].items():
        assert low <= run.summary["class_accuracy"][name] <= high and f"| {low:.3f} to {high:.3f} |" in text
    assert f"{run.summary['n_train']} samples trained" in text and run.config["label"] in text
    assert all(note in text for note in run.config["notes"])


@pytest.mark.parametrize("weights", [*WEIGHTS, "random (seed 0)", "mine.pth"])
def test_the_licence_is_that_of_the_weights(run, weights):
    config = run.config | {"features": run.config["features"] | {"weights": weights}}
    expected = LICENCES.get(weights, "nobody's" if "random" in weights else "not known")
    assert expected in model_card(config, run.summary)


def test_the_card_has_every_section_and_how_sure_a_score_is(run):
    text = (run.folder / "MODEL_CARD.md").read_text()
    sections = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert sections == [
        "Data",
        "Split and protocol",
        "Results on the test samples",
        "How sure a single score is",
        "Limits",
        "Licence of the weights",
    ]
    assert "no interval" in calibration_of(run).interval(0.0)[1] and "No interval" in text
    known = Calibration(np.arange(1.0, 21), scale=(-5.0, 5.0))
    assert f"± 19 points: {known.interval(0.0)[1]}" in model_card(run.config, run.summary, known)
    scaled = replace(known, spreads=np.full(20, 2.0))
    said = model_card(run.config, run.summary, scaled)
    assert "± 19 points, wider or narrower with the spread of the score head" in said
    nothing = Calibration(lacking="no interval: the run predicts no score")
    assert "No interval: the run predicts no score." in model_card(run.config, run.summary, nothing)
    scale = model_card(run.config | {"score_range": [0, 100]}, run.summary)
    assert "scale of the scores: 0 to 100 points" in scale


def test_the_licence_of_a_model_of_the_hub_is_its_cards(run):
    weights = "hf:MCG-NJU/videomae-base@0123456789ab (licence cc-by-nc-4.0: not for commercial use)"
    config = run.config | {"features": run.config["features"] | {"weights": weights}}
    said = "licence cc-by-nc-4.0: not for commercial use (of the model's own card). Heads: yours"
    assert said in model_card(config, run.summary)


def test_what_is_not_defined_is_left_out(run):
    untested = {"spearman": None, "interval": None, "mae": float("nan"), "floors": {}, "class_accuracy": {}}
    untested |= dict.fromkeys(("kendall", "pearson", "relative_l2", "captions"))
    assert "Nothing was tested" in model_card(run.config, run.summary | untested)
    leaked = model_card(run.config | {"leaked": 3}, run.summary)
    assert "LEAKED: 3 test samples" in leaked and "LEAKED" not in model_card(run.config, run.summary)


def test_test_samples_without_a_score_are_told_apart(run):
    floors = {**run.summary["floors"], "training_mean": {"n": 20, "spearman": None, "mae": 1.0}}
    text = model_card(run.config, run.summary | {"floors": floors})
    assert text.count("24 (of which 20 have a score) test") == 3
