"""Pose+DCT+SVR and its normalised form, on the joints of synthetic dives."""

import numpy as np
import pytest
from sklearn.svm import NuSVR

from aqa_cache.annotations import write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.datasets.synthetic_dives import write_keypoints
from aqa_cache.datasets.synthetic_dives.broadcast import plan_broadcasts
from aqa_cache.keypoints.importing import import_keypoints
from aqa_cache.keypoints.sample_features import KeypointOptions
from aqa_heads import TrainingConfig, train
from aqa_heads.errors import TrainingError
from aqa_heads.scoring.table import score_table

DIVES = {"train_dives": 24, "test_dives": 8, "events": 4, "seed": 0}


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """A cache of each form."""
    folder = tmp_path_factory.mktemp("poses")
    write_keypoints(folder / "keypoints", **DIVES)
    broadcasts = plan_broadcasts(**DIVES, frame_rate=25)
    write_annotations(folder / "a.csv", [one.sample for broadcast in broadcasts for one in broadcast.dives])
    for form in ("clips", "dct", "dct-torso"):
        import_keypoints(folder / "keypoints", folder / f"{form}.h5", folder / "a.csv", KeypointOptions(form))
    return folder


def of_split(path, split):
    """Features and scores."""
    with FeatureCache(path) as cache:
        places = [index for index, sample in enumerate(cache.samples) if sample.split == split]
        features = np.concatenate([cache.features(index) for index in places]).astype(np.float64)
        return features, np.array([cache.samples[index].final_score for index in places])


def test_the_reference_is_the_authors_regression_on_features_as_they_are(caches, tmp_path):
    run = train(TrainingConfig(caches / "dct.h5", "pose-dct-svr", out=tmp_path))
    features, scores = of_split(caches / "dct.h5", "train")
    expected = NuSVR(kernel="linear", C=1e-3, nu=0.5).fit(features, scores)
    test, _ = of_split(caches / "dct.h5", "test")
    said = [float(row["predicted_score"]) for row in run.predictions if row["split"] == "test"]
    np.testing.assert_allclose(said, expected.predict(test), rtol=1e-4)
    assert run.folder.name == "pose-dct-svr" and run.config["label"] == "Pose+DCT+SVR"
    assert run.config["standardise"] is False and run.summary["penalty"] == {"C": 0.001}


def test_the_normalised_form_standardises_and_chooses_its_cost(caches, tmp_path):
    run = train(TrainingConfig(caches / "dct-torso.h5", "pose-dct-svr-normalised", out=tmp_path))
    features, scores = of_split(caches / "dct-torso.h5", "train")
    mean, std = features.mean(0), features.std(0)
    std[std < 1e-6] = 1.0
    cost = run.summary["penalty"]["C"]
    expected = NuSVR(kernel="linear", C=cost, nu=0.5, tol=1e-6).fit((features - mean) / std, scores)
    test, _ = of_split(caches / "dct-torso.h5", "test")
    said = [float(row["predicted_score"]) for row in run.predictions if row["split"] == "test"]
    np.testing.assert_allclose(said, expected.predict((test - mean) / std), rtol=0.02)
    assert run.folder.name == "pose-dct-svr-normalised" and run.config["standardise"] is True
    assert any("C by squared error" in note for note in run.config["notes"])


@pytest.mark.parametrize(
    ("row", "form", "wanted"),
    [
        ("pose-dct-svr", "clips", "--as dct "),
        ("pose-dct-svr", "dct-torso", "--as dct "),
        ("pose-dct-svr-normalised", "dct", "--as dct-torso "),
    ],
)
def test_features_of_another_form_are_refused_with_the_way_to_the_right_ones(
    caches, tmp_path, row, form, wanted
):
    with pytest.raises(TrainingError, match=f"has features of pose-{form}.*{wanted}"):
        train(TrainingConfig(caches / f"{form}.h5", row, out=tmp_path))


@pytest.mark.parametrize("encoder", ["statistics", "gru"])
def test_clips_of_keypoints_train_encoders(caches, tmp_path, encoder):
    config = TrainingConfig(
        caches / "clips.h5", encoder=encoder, tasks=("score",), epochs=1, validation_folds=0, out=tmp_path
    )
    run = train(config)
    with FeatureCache(caches / "clips.h5") as cache:
        name = cache.samples[-1].sample_id
    (score,) = [
        one for one in score_table(run.folder, features=caches / "clips.h5").scores if one.sample_id == name
    ]
    (row,) = [one for one in run.predictions if one["sample_id"] == name]
    assert score.points == pytest.approx(float(row["predicted_score"]), rel=1e-4)
    assert score.frames is not None and len(score.contributions.clips) > 2
