"""The card of a run says what its files say."""

import pytest
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.weights.published import WEIGHTS
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


def test_the_card_has_the_results_with_their_interval(run):
    text = (run.folder / "MODEL_CARD.md").read_text()
    low, high = run.summary["interval"]
    for number in (run.summary["spearman"], run.summary["mae"], low, high):
        assert f"{number:.3f}" in text
    for name, value in run.summary["class_accuracy"].items():
        assert f"| accuracy of {name} | {value:.3f} |" in text
    assert f"{run.summary['n_train']} were trained on" in text and run.config["label"] in text
    assert all(note in text for note in run.config["notes"])


@pytest.mark.parametrize("weights", [*WEIGHTS, "random (seed 0)", "mine.pth"])
def test_the_licence_is_that_of_the_weights(run, weights):
    config = run.config | {"features": run.config["features"] | {"weights": weights}}
    expected = LICENCES.get(weights, "nobody's" if "random" in weights else "not known")
    assert expected in model_card(config, run.summary)


def test_what_is_not_defined_is_left_out(run):
    untested = {"spearman": None, "interval": None, "mae": float("nan"), "floors": {}, "class_accuracy": {}}
    untested |= dict.fromkeys(("kendall", "pearson", "relative_l2"))
    assert "Nothing was tested" in model_card(run.config, run.summary | untested)
    leaked = model_card(run.config | {"leaked": 3}, run.summary)
    assert "LEAKED: 3 test samples" in leaked and "LEAKED" not in model_card(run.config, run.summary)
