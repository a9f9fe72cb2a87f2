from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupted_runs import files
from sklearn.linear_model import Ridge
from sklearn.svm import SVR
from synthetic_cache import POSITIONS, tuned_on, without, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.errors import TrainingError
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.networks.score_heads.seam import Encoded
from aqa_heads.runs.format import read_run
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training import starting_point
from aqa_heads.training.fitting import Fitting
from aqa_heads.training.plan import Planner
from aqa_heads.training.run import train

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def path(tmp_path):
    return write_synthetic_cache(tmp_path / "feats.h5")


@pytest.fixture
def config(path, tmp_path):
    return TrainingConfig(
        path,
        experiment="baseline",
        epochs=2,
        tasks=("score", "classes"),
        out=tmp_path / "runs",
        device="cpu",
        meteor=False,
    )


def weights_of(run):
    return run.load_model().state_dict()


def same_weights(mine, theirs):
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def cells(run, column, split="test"):
    return [row[column] for row in run.predictions if row["split"] == split]


def numbers(run, column, split="test"):
    return np.array([float(cell) for cell in cells(run, column, split)])


@pytest.mark.parametrize("experiment", ["baseline", "7"])
def test_training_overfits_a_few_samples(tmp_path, experiment):
    path = write_synthetic_cache(tmp_path / "feats.h5", train=4, test=2)
    config = TrainingConfig(
        path,
        experiment,
        epochs=100,
        lr=1e-2,
        caption_lr=1e-2,
        batch_size=4,
        encoder_hidden=64,
        protocol="paper",
        ridge_start=False,
        out=tmp_path,
        device="cpu",
        meteor=False,
    )
    run = train(config)
    first, last = run.epochs[0], run.epochs[-1]
    assert last.train_score_loss < 0.1 * first.train_score_loss
    assert last.train_class_loss < 0.1 * first.train_class_loss
    assert last.train_caption_loss < 0.1 * first.train_caption_loss
    for row in run.predictions[:4]:
        assert row["split"] == "train" and row["predicted_class_position"] == row["class_position"]
        assert float(row["predicted_score"]) == pytest.approx(float(row["final_score"]), abs=10)


@pytest.mark.parametrize("experiment", ["1", "7", "c3d-lstm", "ridge", "c3d-svr"])
def test_same_seed_gives_the_same_bits_and_another_seed_others(config, experiment):
    config = replace(config, tasks=TASKS, experiment=experiment)
    if experiment in ("7", "c3d-lstm"):
        config = replace(config, encoder_hidden=16, encoder_layers=2)
    first, second, other = [
        train(replace(config, seed=seed, out=config.out / str(place))) for place, seed in enumerate((3, 3, 4))
    ]
    mine, theirs = files(first.folder), files(second.folder)
    assert mine.keys() == theirs.keys()
    for name, content in mine.items():
        assert content == theirs[name], name
    if not config.resolve().row.closed_form:
        assert [epoch.train_loss for epoch in other.epochs] != [epoch.train_loss for epoch in first.epochs]
        assert not same_weights(weights_of(first), weights_of(other))


def test_copies_of_the_plain_view_change_no_bit_and_other_views_do(config):
    config = replace(config, tasks=TASKS, epochs=3, ridge_start=False)
    runs = {}
    for name, views in {
        "one": {},
        "copies": {"again": lambda index, plain: plain, "once more": lambda index, plain: plain},
        "others": {"flip": lambda index, plain: -plain},
    }.items():
        write_synthetic_cache(config.features, views=views)
        runs[name] = train(replace(config, out=config.out / name))
    runs["plain"] = train(replace(config, views="plain"))
    weights = {name: weights_of(run) for name, run in runs.items()}
    losses = {name: [epoch.train_loss for epoch in run.epochs] for name, run in runs.items()}
    for name in ("copies", "plain"):
        assert losses[name] == losses["one"]
        assert same_weights(weights[name], weights["one"])
        assert runs[name].predictions == runs["one"].predictions
    assert losses["others"] != losses["one"] and runs["others"].predictions != runs["one"].predictions
    assert runs["others"].config["views"] == "all" and runs["others"].config["features"]["views"] == [
        "plain",
        "flip",
    ]
    for name in ("standardiser.mean", "standardiser.scale"):
        assert torch.equal(weights["others"][name], weights["one"][name])


def test_views_are_drawn_anew_in_every_epoch_and_never_evaluated(config, monkeypatch):
    write_synthetic_cache(config.features, views={"flip": lambda index, plain: -plain})
    with FeatureCache(config.features) as cache:
        # What the model is given tells which sample and view it is.
        known = {
            float(cache.features(index, view)[0, 0]): (index, view) for index in range(18) for view in (0, 1)
        }
    seen = {True: [], False: []}
    look = AqaModel.seen

    def spy(model, features, lengths):
        samples, views = zip(*sorted(known[first] for first in features[:, 0, 0].tolist()), strict=True)
        assert not model.training or samples == tuple(range(12))
        seen[model.training].append(views)
        return look(model, features, lengths)

    monkeypatch.setattr(AqaModel, "seen", spy)
    runs = []
    for seed in (0, 0, 1):
        seen[True].clear()
        train(
            replace(
                config,
                epochs=4,
                batch_size=12,
                seed=seed,
                overwrite=True,
                protocol="paper",
                ridge_start=False,
            )
        )
        runs.append(list(seen[True]))
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) == 4 and len(set(runs[0])) > 1 and 0 < sum(map(sum, runs[0])) < 48
    assert seen[False] and not any(map(any, seen[False]))


def test_random_numbers_of_the_caller_are_left_alone(config):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(replace(config, encoder="gru", encoder_hidden=8, encoder_layers=1, pretrain_epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_threads_are_set_for_the_run_only(config):
    before = torch.get_num_threads()
    assert train(replace(config, threads=before + 1)).config["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_features_larger_than_memory_give_the_same_bits(config, monkeypatch):
    write_synthetic_cache(config.features, views={"flip": lambda index, plain: -plain})
    config = replace(config, tasks=TASKS, epochs=3)
    held = train(config)
    monkeypatch.setattr("aqa_heads.data.stored_features.MEMORY_SHARE", 0)
    streamed = train(replace(config, out=config.out / "streamed"))
    assert not any("every step reads" in note for note in held.config["notes"])
    assert any("every step reads its own from the file" in note for note in streamed.config["notes"])
    assert same_weights(weights_of(held), weights_of(streamed)) and held.predictions == streamed.predictions
    losses = [[epoch.train_loss for epoch in run.epochs] for run in (held, streamed)]
    assert losses[0] == losses[1]
    ridge = [
        train(TrainingConfig(config.features, "ridge", out=config.out / str(share), device="cpu")).predictions
        for share in (0, 0.5)
        if monkeypatch.setattr("aqa_heads.data.stored_features.MEMORY_SHARE", share) is None
    ]
    assert ridge[0] == ridge[1]


@pytest.mark.parametrize(
    "tasks", [("score",), ("classes",), ("caption",), ("score", "caption"), ("classes", "caption")]
)
@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_any_subset_of_tasks_trains_and_leaves_the_rest_empty(config, tasks, protocol):
    run = train(replace(config, tasks=tasks, epochs=1, protocol=protocol))
    suffix = "" if protocol == "honest" else "-protocol-paper"
    assert (
        run.config["tasks"] == list(tasks) and run.folder.name == "baseline-tasks-" + "-".join(tasks) + suffix
    )
    epoch, looked_at = run.epochs[0], "val" if protocol == "honest" else "test"
    filled = {name for name, value in vars(epoch).items() if value is not None}
    expected = {"epoch", "train_loss", "seconds"}
    if "score" in tasks:
        expected |= {"train_score_loss", f"{looked_at}_spearman", f"{looked_at}_relative_l2"}
    if "classes" in tasks:
        expected |= {"train_class_loss"} | ({"val_class_accuracy"} if protocol == "honest" else set())
    if "caption" in tasks:
        expected |= {"train_caption_loss", "train_caption_loss_per_token"}
        expected |= {"val_caption_loss_per_token"} if protocol == "honest" else set()
    assert filled == expected
    assert (run.summary["relative_l2"] is not None) == ("score" in tasks)
    assert set(run.summary["class_accuracy"]) == ({"position", "twists"} if "classes" in tasks else set())
    assert (
        (run.summary["captions"] is not None)
        == (run.summary["unigram_loss"] is not None)
        == ("caption" in tasks)
    )
    chosen = (
        {} if protocol == "paper" else {name: part["metric"] for name, part in run.summary["chosen"].items()}
    )
    assert chosen.get("assessment") == (
        None
        if protocol == "paper" or tasks == ("caption",)
        else "validation Spearman"
        if "score" in tasks
        else "validation class accuracy"
    )
    row = run.predictions[-1]
    assert (row["predicted_score"] is not None) == ("score" in tasks)
    assert ("predicted_class_position" in row) == ("classes" in tasks)
    assert (run.folder / "vocabulary.json").exists() == ("caption" in tasks)


def test_partly_missing_labels_train_and_are_not_tested(tmp_path):
    def change(index, sample):
        empty = ({"final_score": None}, {"classes": {}}, {"caption": None}, {"difficulty": None}, {})[
            index % 5
        ]
        return replace(sample, **empty)

    path = write_synthetic_cache(tmp_path / "feats.h5", 20, 10, change=change)
    for protocol in ("honest", "paper"):
        run = train(
            TrainingConfig(
                path,
                experiment="baseline",
                epochs=2,
                out=tmp_path,
                batch_size=1,
                device="cpu",
                meteor=False,
                protocol=protocol,
            )
        )
        assert run.config["tasks"] == list(TASKS)
        assert run.summary["floors"]["training_mean"]["n"] == 8 and run.summary["n_test"] == 10
        share = run.summary["class_accuracy"]["position"] * 8
        assert share == pytest.approx(round(share))


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("label", ["final_score", "classes", "caption", "difficulty", "group"])
def test_any_label_may_be_missing_in_any_split(tmp_path, split, label):
    def change(index, sample):
        sample = replace(sample, split="val") if index % 3 == 2 and sample.split == "train" else sample
        return without(label, splits=(split,))(index, sample)

    path = write_synthetic_cache(tmp_path / "feats.h5", 12, 4, change=change)
    config = TrainingConfig(path, experiment="baseline", epochs=1, out=tmp_path, device="cpu", meteor=False)
    if (split, label) == ("val", "final_score"):
        # There is nothing to choose an epoch by, as there are scores to choose it for.
        with pytest.raises(TrainingError, match="of 8 samples with a score 0 would validate"):
            train(config)
        return
    run = train(config)
    task = {"final_score": "score", "classes": "classes", "caption": "caption"}.get(label)
    left = [name for name in TASKS if not (split == "train" and name == task)]
    assert run.config["tasks"] == left
    assert len(run.predictions) == 16 and np.isfinite(run.summary["train_loss"])
    assert len(run.summary["chosen"]) == (
        1 if (split, label) in (("train", "caption"), ("val", "caption")) else 2
    )


def test_one_to_three_hundred_clips_in_one_file(tmp_path):
    counts = [1, 300, 2, 150, 6, 1, 40, 300, 3, 5, 1, 299, 1, 300, 7, 2, 1, 9]
    path = write_synthetic_cache(tmp_path / "feats.h5", clips=lambda index: counts[index], dim=3)
    run = train(TrainingConfig(path, "7", epochs=1, batch_size=4, out=tmp_path, device="cpu", meteor=False))
    with FeatureCache(path) as cache:
        model = run.load_model()
        for row in run.predictions[:3]:
            index = next(i for i, sample in enumerate(cache.samples) if sample.sample_id == row["sample_id"])
            clips = torch.from_numpy(cache.features(index))[None]
            with torch.no_grad():
                alone = model(clips, torch.tensor([clips.shape[1]])).score.points.item()
            assert alone == pytest.approx(float(row["predicted_score"]), rel=1e-4)


@pytest.mark.parametrize("dim", [1, 3, 1024])
def test_features_of_any_size(tmp_path, dim):
    path = write_synthetic_cache(tmp_path / "feats.h5", dim=dim)
    run = train(TrainingConfig(path, "3", epochs=1, out=tmp_path, device="cpu", meteor=False))
    assert run.config["features"]["dim"] == dim and np.isfinite(numbers(run, "predicted_score")).all()


def test_class_columns_of_any_name(tmp_path):
    odd = ("type", "forward", "a.b", "Höhe (m)", "x/y", "0")

    def change(index, sample):
        return replace(sample, classes={name: str(index % 2) for name in odd})

    path = write_synthetic_cache(tmp_path / "feats.h5", change=change)
    run = train(
        TrainingConfig(path, experiment="baseline", tasks=("classes",), epochs=1, out=tmp_path, device="cpu")
    )
    assert set(run.summary["class_accuracy"]) == set(odd) == set(run.config["classes"])
    assert all(row[f"predicted_class_{name}"] in ("0", "1") for row in run.predictions for name in odd)
    run.load_model()


def test_without_groups_single_samples_validate(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", 20, change=without("group"))
    run = train(
        TrainingConfig(path, experiment="baseline", epochs=1, tasks=("score",), out=tmp_path, device="cpu")
    )
    assert (run.summary["n_train"], run.summary["n_val"]) == (16, 4) and not run.config["validation"][
        "whole_groups"
    ]
    assert run.summary["per_group"] == {} and any(
        "no sample names its group" in note for note in run.config["notes"]
    )


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_without_test_samples_it_trains_and_reports_no_test_metrics(tmp_path, protocol):
    path = write_synthetic_cache(tmp_path / "feats.h5", test=0)
    run = train(
        TrainingConfig(
            path, experiment="baseline", epochs=1, out=tmp_path, device="cpu", meteor=False, protocol=protocol
        )
    )
    assert run.summary["spearman"] is run.summary["relative_l2"] is run.summary["best_test_spearman"] is None
    assert run.summary["class_accuracy"] == {"position": None, "twists": None} and len(run.predictions) == 12
    assert set(run.summary["floors"].values()) == {None}
    assert run.config["notes"].count("no sample has split test: trained without test metrics") == 1


def test_constant_predictions_have_no_spearman_and_a_word_of_explanation(config, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda weight, *_, **__: weight.data.zero_())
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    config = replace(config, ridge_start=False)
    run = train(replace(config, protocol="paper"))
    assert run.summary["spearman"] is None
    assert run.summary["notes"] == ["spearman is not defined: the predictions of all test samples are equal"]
    run = train(replace(config, tasks=("score",)))  # nor is there a best epoch to choose by it
    assert run.summary["chosen"] == {} and all(epoch.val_spearman is None for epoch in run.epochs)


def test_lines_are_said_before_training_and_kept(config, said):
    write_synthetic_cache(config.features, backbone="s3d", weights="random-0", failed=(0,))
    epochs = []
    config = replace(config, protocol="paper", ridge_start=False)
    run = train(config, on_epoch=lambda epoch: epochs.append((epoch, len(said))))
    assert said == run.config["notes"]
    assert (
        "Baseline is a C3D row of Table 1, feats.h5 holds S3D features: it runs as"
        f" {run.config['label']!r} and is not the paper's Baseline" in said[0]
    )
    assert "random weights (random-0)" in said[1] and run.config["features"]["weights_random"]
    assert [(epoch.epoch, count) for epoch, count in epochs] == [(1, len(said)), (2, len(said))]
    assert [epoch for epoch, _ in epochs] == run.epochs


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\nmore"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_message(config, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Fitting, "fit", fail)
    with pytest.raises(TrainingError, match="cpu has not enough memory .*--batch-size or --encoder-hidden$"):
        train(config)
    assert list(config.out.iterdir()) == []
    error = RuntimeError("another mistake")
    with pytest.raises(RuntimeError, match="another mistake"):
        train(config)


def test_an_encoder_beyond_all_memory_is_one_message(config):
    with pytest.raises(TrainingError, match="not enough memory"):
        train(replace(config, experiment="7", encoder_hidden=2**31 - 1, encoder_layers=2))


def test_an_encoder_that_trains_in_its_backward_pass_is_no_autoencoder(config, monkeypatch):
    monkeypatch.setattr("aqa_heads.networks.model.FRUGAL_HIDDEN", 8)
    with pytest.raises(
        TrainingError, match="an LSTM encoder 16 wide cannot be trained as an autoencoder; leave out"
    ):
        train(
            TrainingConfig(
                config.features, "7", tasks=("score",), pretrain_epochs=1, out=config.out, device="cpu"
            )
        )


@pytest.mark.parametrize("encoder", ["lstm", "gru"])
def test_pretraining_is_on_training_samples_only_and_recorded(config, monkeypatch, encoder):
    given = []
    monkeypatch.setattr(
        starting_point,
        "pretrain",
        lambda model, clips, *_: given.append(sorted(map(len, clips))) or [0.9, 0.8],
    )
    run = train(
        TrainingConfig(
            config.features,
            experiment="baseline",
            encoder=encoder,
            pretrain_epochs=2,
            epochs=1,
            tasks=("score",),
            out=config.out,
            device="cpu",
        )
    )
    with FeatureCache(config.features) as cache:
        clips = {sample.sample_id: len(cache.features(index)) for index, sample in enumerate(cache.samples)}
    assert given == [sorted(clips[name] for name in cells(run, "sample_id", "train"))]
    assert run.config["pretraining_losses"] == [0.9, 0.8]
    assert run.config["label"] == f"Baseline (encoder {encoder}, encoder pre-trained, score only)"


def test_a_run_is_named_after_the_tasks_it_was_trained_on(config):
    write_synthetic_cache(config.features, change=without("caption"))
    run = train(replace(config, tasks=TASKS))
    assert run.folder.name == run.config["name"] == "baseline-tasks-score-classes"
    assert run.config["label"] == "Baseline (score and classes only)"
    assert "task caption is left out: no training sample has a caption" in run.config["notes"]


def test_one_scored_test_sample_has_no_spearman_and_a_word_of_explanation(config):
    write_synthetic_cache(config.features, test=1)
    assert "1 test sample has a final_score: spearman" in train(config).summary["notes"][0]


@pytest.mark.parametrize("experiment, said", [("2", True), ("3", True), ("baseline", False)])
def test_s3d_rows_say_that_their_projection_is_not_there(config, experiment, said):
    write_synthetic_cache(config.features, backbone="s3d")
    notes = train(replace(config, experiment=experiment, epochs=1)).config["notes"]
    assert any("S3D feature is used directly" in note for note in notes) == said


def test_equal_training_scores_need_a_score_scale(config):
    write_synthetic_cache(config.features, change=lambda index, sample: replace(sample, final_score=50.0))
    with pytest.raises(TrainingError, match="the 9 training score.s. are all 50.*--score-scale"):
        train(config)
    run = train(replace(config, score_scale=17.0))
    assert run.config["score_scale"] == 17.0 and any(
        "all test scores are equal" in note for note in run.summary["notes"]
    )
    assert any("nothing could be chosen for the assessment" in note for note in run.summary["notes"])


def test_score_scale_and_centre_are_those_of_the_training_scores(config):
    run = train(config)
    scores = numbers(run, "final_score", "train")
    assert run.config["score_scale"] == pytest.approx(scores.std()) and run.config[
        "score_centre"
    ] == pytest.approx(scores.mean())
    given = train(replace(config, score_scale=9.0, centre=False, overwrite=True)).config
    assert (given["score_scale"], given["score_centre"]) == (9.0, 0.0)


def test_raw_features_are_used_on_request(config):
    model = train(replace(config, standardise=False)).load_model()
    assert (model.standardiser.mean == 0).all() and (model.standardiser.scale == 1).all()
    model = train(replace(config, overwrite=True)).load_model()
    assert (model.standardiser.mean != 0).all() and (model.standardiser.scale != 1).all()


def test_the_config_describes_the_run(config):
    run = train(replace(config, experiment="7", encoder_hidden=16, encoder_layers=2))
    record = run.config
    assert record["table1"] == {
        "backbone": "c3d",
        "rnn": "gru",
        "layers": 2,
        "attention": "linear",
        "encoder": "lstm",
    }
    assert (record["experiment"], record["protocol"], record["device"], record["epochs"]) == (
        "7",
        "honest",
        "cpu",
        2,
    )
    assert (
        record["literal"],
        record["difficulty"],
        record["fold"],
        record["vocabulary"],
        record["beam"],
    ) == (
        False,
        "ignore",
        None,
        None,
        1,
    )
    assert record["classes"]["position"] == sorted(set(POSITIONS) & set(record["classes"]["position"]))
    assert record["features"]["samples"] == 18 and not record["features"]["weights_random"]
    assert record == read_run(run.folder).config and record["threads"] >= 1
    assert run.summary["seconds"].keys() == {"preparing", "training", "evaluating", "total"}
    assert run.summary["seconds"]["total"] >= run.summary["seconds"]["training"] > 0
    assert run.summary["peak_memory_bytes"] > 2**20


def test_group_and_labels_survive_into_predictions(config):
    write_synthetic_cache(config.features, change=without("final_score", splits=("test",)))
    rows = {row["sample_id"]: row for row in train(config).predictions}
    assert sorted(rows) == [f"s{index:02d}" for index in range(18)]
    row = rows["s13"]
    assert row["group"] == "g1" and row["final_score"] is None and row["predicted_score"] and row["caption"]
    assert row["difficulty"] == 2.5


# Difficulty


def test_multiplied_scores_are_the_heads_times_the_difficulty(config):
    run = train(replace(config, difficulty="multiply"))
    assert run.folder.name == "baseline-tasks-score-classes-difficulty-multiply"
    assert "execution × difficulty" in run.config["label"]
    model = run.load_model()
    with FeatureCache(config.features) as cache:
        for index, sample in enumerate(cache.samples):
            clips = torch.from_numpy(cache.features(index))[None]
            with torch.no_grad():
                execution = model(clips, torch.tensor([clips.shape[1]])).score.points.item()
            predicted = next(
                row["predicted_score"] for row in run.predictions if row["sample_id"] == sample.sample_id
            )
            assert float(predicted) == pytest.approx(execution * sample.difficulty, rel=1e-5)
    execution = numbers(run, "final_score", "train") / numbers(run, "difficulty", "train")
    assert run.config["score_centre"] == pytest.approx(execution.mean(), rel=1e-6)
    assert run.config["score_scale"] == pytest.approx(execution.std(), rel=1e-6)
    error = numbers(run, "predicted_score") - numbers(run, "final_score")
    assert run.summary["mae"] == pytest.approx(np.abs(error).mean())


def test_a_difficulty_of_one_multiplies_to_the_same_bits(config):
    write_synthetic_cache(config.features, change=lambda index, sample: replace(sample, difficulty=1.0))
    plain, multiplied = train(config), train(replace(config, difficulty="multiply"))
    assert (
        same_weights(weights_of(plain), weights_of(multiplied))
        and plain.predictions == multiplied.predictions
    )


def test_without_difficulty_no_score_is_trained_or_predicted_and_it_is_said(config):
    absent = (1, 4, 14)
    write_synthetic_cache(
        config.features,
        change=lambda index, sample: replace(sample, difficulty=None) if index in absent else sample,
    )
    run = train(replace(config, difficulty="multiply", protocol="paper"))
    empty = {row["sample_id"] for row in run.predictions if row["predicted_score"] is None}
    assert empty == {"s01", "s04", "s14"} and all(row["predicted_class_position"] for row in run.predictions)
    assert any(
        note.startswith("2 of 12 train samples have no difficulty") and "first: s01" in note
        for note in run.config["notes"]
    )
    assert any(note.startswith("1 of 6 test samples have no difficulty") for note in run.config["notes"])
    scored = [row for row in run.predictions if row["split"] == "test" and row["predicted_score"] is not None]
    errors = [abs(float(row["predicted_score"]) - float(row["final_score"])) for row in scored]
    assert run.summary["mae"] == pytest.approx(np.mean(errors)) and len(scored) == 5


def test_multiplying_without_any_execution_score_is_one_message(config):
    def change(index, sample):
        return replace(sample, difficulty=None) if index % 2 else replace(sample, final_score=None)

    write_synthetic_cache(config.features, change=change)
    with pytest.raises(
        TrainingError, match="no training sample has both a final_score and a difficulty above 0"
    ):
        train(replace(config, difficulty="multiply", protocol="paper"))
    # Who asks for classes alone multiplies nothing.
    train(replace(config, difficulty="multiply", tasks=("classes",), protocol="paper"))


# The rows as the original has them


def test_literal_settings_are_those_of_the_original(config):
    run = train(
        TrainingConfig(
            config.features, "4", literal=True, epochs=1, out=config.out, device="cpu", meteor=False
        )
    )
    record, model = run.config, run.load_model()
    assert (record["batch_size"], record["lr"], record["weight_decay"], record["dropout"]) == (
        3,
        1e-4,
        0.0,
        0.0,
    )
    assert (record["score_scale"], record["score_centre"], record["standardise"], record["residual"]) == (
        17.0,
        0.0,
        False,
        False,
    )
    assert (model.standardiser.mean == 0).all() and (model.standardiser.scale == 1).all()
    assert (run.folder.name, record["label"]) == ("exp4-literal", "Exp 4 (literal)")


def test_literal_exp_7_has_the_wide_encoder(config):
    run = train(
        TrainingConfig(
            config.features, "7", literal=True, epochs=1, tasks=("score",), out=config.out, device="cpu"
        )
    )
    assert run.load_model().encoder.out_dim == 24  # LITERAL_HIDDEN in `small_models`
    assert run.config["label"] == "Exp 7 (literal, score only)"


def test_the_literal_projection_is_trained_with_everything_and_composes_with_fc6(config, monkeypatch):
    monkeypatch.setattr("aqa_heads.settings.resolved.LITERAL_S3D_DIM", 20)
    write_synthetic_cache(config.features, backbone="s3d")
    run = train(
        TrainingConfig(
            config.features, "2", literal=True, epochs=2, lr=1e-2, out=config.out, device="cpu", meteor=False
        )
    )
    model = run.load_model()
    assert (
        run.config["projection"] == 20
        and list(model.parts) == ["model"]
        and set(run.summary["chosen"]) == {"model"}
    )
    assert not any("used directly" in note for note in run.config["notes"])
    # Captions and scores both train it: alone, each gives another.
    others = [
        train(
            TrainingConfig(
                config.features,
                "2",
                literal=True,
                epochs=2,
                lr=1e-2,
                tasks=tasks,
                out=config.out,
                device="cpu",
                meteor=False,
            )
        ).load_model()
        for tasks in (("score", "classes"), ("caption",))
    ]
    assert not any(torch.equal(other.projection.weight, model.projection.weight) for other in others)
    assert [list(other.parts) for other in others] == [["assessment"], ["captioner"]]
    # A linear layer of a mean is the mean of linear layers: the score is that of one layer on the feature
    # itself.
    projection, fc6 = model.projection, model.heads.fc6
    weight, bias = fc6.weight @ projection.weight, fc6.weight @ projection.bias + fc6.bias
    with FeatureCache(config.features) as cache, torch.no_grad():
        clips = [torch.from_numpy(cache.features(index)) for index in range(3)]
        features, lengths = training_batch(clips)
        hidden = torch.relu(torch.stack([sample.mean(0) for sample in clips]) @ weight.T + bias)
        score = model.heads.score(Encoded(hidden, shared=hidden)) * model.score_scale + model.score_centre
        torch.testing.assert_close(
            model(features, lengths).score.points, score.double(), atol=1e-4, rtol=1e-5
        )


def training_batch(clips):
    lengths = torch.tensor([len(sample) for sample in clips])
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths


# References


@pytest.mark.parametrize("name", ["ridge", "c3d-svr"])
def test_closed_forms_are_scikit_learns_on_averaged_standardised_features(config, name):
    run = train(TrainingConfig(config.features, name, protocol="paper", out=config.out, device="cpu"))
    assert (
        run.epochs == []
        and run.summary["chosen"] == {}
        and run.summary["n_val"] == 0
        and run.summary["n_train"] == 12
    )
    assert run.config["tasks"] == ["score"] and run.summary["train_loss"] is None
    with FeatureCache(config.features) as cache:
        features = [cache.features(index).astype(np.float64) for index in range(18)]
        scores = np.array([sample.final_score for sample in cache.samples])
    rows = np.concatenate(features[:12])
    averaged = np.stack([((sample - rows.mean(0)) / rows.std(0)).mean(0) for sample in features])
    from aqa_heads.training.references import fit_reference

    groups = [f"g{index % 4}" for index in range(12)]
    chosen = fit_reference(name, averaged[:12].astype(np.float32), scores[:12], groups, 0).chosen
    if name == "ridge":
        plain = Ridge(alpha=chosen["alpha"])
    else:
        plain = SVR(kernel="linear", C=chosen["C"], epsilon=0.1 * scores[:12].std(), tol=1e-9)
    expected = plain.fit(averaged[:12], scores[:12]).predict(averaged)
    atol = 1e-3 if name == "ridge" else 0.05 * scores.std()
    np.testing.assert_allclose(
        [*numbers(run, "predicted_score", "train"), *numbers(run, "predicted_score")], expected, atol=atol
    )
    assert any(note.startswith(("alpha by", "C by")) for note in run.config["notes"])


def test_the_older_c3d_lstm_has_neither_fc6_nor_absolute_error(config):
    run = train(
        TrainingConfig(
            config.features,
            "c3d-lstm",
            epochs=1,
            batch_size=16,
            dropout=0.0,
            encoder_hidden=8,
            encoder_layers=1,
            protocol="paper",
            out=config.out,
            device="cpu",
        )
    )
    model = run.load_model()
    assert model.heads.fc6 is None and model.captioner is None and model.heads.score.weight.shape == (1, 8)
    assert (
        TrainingConfig("", "c3d-lstm").resolve().encoder_hidden == 256
        and TrainingConfig("", "c3d-lstm").resolve().encoder_layers == 1
    )
    # The loss of the first step is that of the model as it was made.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = AqaModel(Architecture.from_record(run.config, 0)).eval()
    fresh.standardiser.load_state_dict(model.standardiser.state_dict())
    with FeatureCache(config.features) as cache, torch.no_grad():
        features, lengths = training_batch([torch.from_numpy(cache.features(index)) for index in range(12)])
        scores = np.array([sample.final_score for sample in cache.samples[:12]])
        wrong = (fresh(features, lengths).score.points.numpy() - scores) / run.config["score_scale"]
        squared = np.square(wrong).mean()
    assert run.epochs[0].train_score_loss == pytest.approx(squared, rel=1e-5)


def test_a_ridge_start_is_the_ridge_regression_until_something_better_is_found(config):
    """With steps too small to change a bit the network is the reference; with steps that only harm, it is
    kept.
    """
    for encoder in ("average", "attention"):
        still = TrainingConfig(
            config.features,
            experiment="baseline",
            encoder=encoder,
            tasks=("score",),
            epochs=1,
            lr=1e-30,
            protocol="paper",
            out=config.out / encoder,
            device="cpu",
        )
        ridge = TrainingConfig(still.features, "ridge", protocol="paper", out=still.out, device="cpu")
        run, ridge = train(still), train(ridge)
        for split in ("train", "test"):
            assert numbers(run, "predicted_score", split) == pytest.approx(
                numbers(ridge, "predicted_score", split), rel=1e-4
            )
        assert any(
            "the score starts from a ridge regression" in note and "alpha" in note
            for note in run.config["notes"]
        )
    harmed = train(replace(config, tasks=("score",), lr=3.0, epochs=3))
    assert harmed.summary["chosen"]["assessment"]["epoch"] == 0 and len(harmed.epochs) == 3
    started = train(replace(config, tasks=("score",), lr=1e-30, epochs=1, out=config.out / "started"))
    assert numbers(harmed, "predicted_score") == pytest.approx(numbers(started, "predicted_score"), rel=1e-4)
    assert all(
        epoch.val_spearman <= harmed.summary["chosen"]["assessment"]["value"] for epoch in harmed.epochs
    )


def test_a_ridge_start_knows_nothing_of_those_who_validate_or_are_tested(config, monkeypatch):
    given = []
    fit = starting_point.fit_reference
    monkeypatch.setattr(
        starting_point,
        "fit_reference",
        lambda name, features, scores, *rest: (
            given.append(sorted(scores)) or fit(name, features, scores, *rest)
        ),
    )
    run = train(config)
    np.testing.assert_allclose(given, [sorted(numbers(run, "final_score", "train"))], rtol=1e-6)


# Leaks


def overlapping(first, second):
    """A `change` by which sample `second` shows frames of sample `first`."""

    def change(index, sample):
        return (
            replace(sample, video="v0.mp4", start_frame=200 * first + 50, end_frame=200 * first + 150)
            if index == second
            else sample
        )

    return change


@pytest.mark.parametrize("second, side", [(14, "test"), (11, "val")])
def test_samples_on_both_sides_are_refused_unless_asked_for_and_then_mark_everything(
    config, second, side, said
):
    def change(index, sample):
        sample = replace(sample, split="val") if index in (9, 10, 11) else sample
        return overlapping(2, second)(index, sample)

    write_synthetic_cache(config.features, change=change)
    with pytest.raises(
        TrainingError,
        match=(
            f"{side} samples is also in train .1 with overlapping frames.: s{second} with s02.*--allow-leak"
        ),
    ):
        train(config)
    assert not list(config.out.glob("*"))
    said.clear()
    run = train(replace(config, allow_leak=True))
    tested = side == "test"
    assert run.config["leaked"] == tested and run.config["label"].endswith(", LEAKED TEST") == tested
    assert run.config["allow_leak"]
    assert any(("every number is marked" if tested else "chosen too easily") in line for line in said)
    assert run.summary["audit"]["leaks"][0]["sample_id"] == f"s{second}"


@pytest.mark.parametrize("tuned", [tuned_on(0, 14), tuned_on(0, chosen=(14,))])
def test_a_test_sample_that_the_backbone_has_learned_from_is_a_leak(config, tmp_path, tuned):
    write_synthetic_cache(config.features, weights="exp2-end-to-end", tuned=tuned)
    message = (
        "1 of 6 test samples is, by sample_id, among .* s14. .* test on what the backbone has not seen .*"
        " give --allow-leak"
    )
    with pytest.raises(TrainingError, match=message):
        train(config)
    run = train(replace(config, allow_leak=True))
    assert run.config["leaked"] == 1 and run.config["label"].endswith(", LEAKED TEST")
    assert (
        run.folder == tmp_path / "runs" / "baseline-tasks-score-classes-on-exp2-end-to-end"
        and run.config["name"] == run.folder.name
    )
    assert any("was fine-tuned in exp2-end-to-end on" in note for note in run.config["notes"])


def test_a_validation_sample_that_the_backbone_was_fine_tuned_on_is_said(config, said):
    def change(index, sample):
        return replace(sample, split="val") if index in (9, 10, 11) else sample

    write_synthetic_cache(config.features, change=change, weights="exp2-end-to-end", tuned=tuned_on(0, 10))
    run = train(config)
    assert any(
        "1 of 3 val samples is, by sample_id, among" in line and "chosen too easily" in line for line in said
    )
    assert run.config["leaked"] == 0 and run.summary["audit"]["tuned_validation"] == ["s10"]


def test_a_backbone_that_starts_from_other_weights_has_learned_from_other_samples(config):
    write_synthetic_cache(config.features, tuned=tuned_on(14))
    with FeatureCache(config.features) as cache:
        planner = Planner(cache)
        assert planner.plan(config, {}).audit.leaks == []
        with pytest.raises(TrainingError, match="s14"):
            planner.plan(config)
        with pytest.raises(TrainingError, match="s15"):
            planner.plan(config, tuned_on(15))


def test_a_leak_among_samples_that_are_not_used_is_none(config):
    def change(index, sample):
        sample = replace(sample, split="val") if index in (9, 10, 11) else sample
        return overlapping(2, 11)(index, sample)

    write_synthetic_cache(config.features, change=change)
    run = train(replace(config, protocol="paper"))
    assert run.config["leaked"] == 0 and "LEAKED" not in run.config["label"]


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"encoder": "gru", "pretrain_epochs": 1}, {"encoder": "attention"}])
def test_a_gpu_trains_as_the_cpu_does(cuda, config, options):
    # No dropout, whose bits differ; one layer, as there is some between layers.
    config = TrainingConfig(
        config.features,
        "7",
        epochs=3,
        dropout=0.0,
        encoder_hidden=16,
        encoder_layers=1,
        tasks=("score", "classes"),
        out=config.out,
        device="cpu",
        **options,
    )
    if config.pretrain_epochs:
        pytest.importorskip("torch")
    on_cpu, on_gpu = train(config), train(replace(config, device="cuda", out=config.out / "gpu"))
    if not config.pretrain_epochs:  # the decoder's numbers are drawn on another device
        for mine, theirs in zip(on_gpu.epochs, on_cpu.epochs, strict=True):
            assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-2)
    assert on_gpu.config["device"] == "cuda" and on_gpu.summary["peak_memory_bytes"] > 0


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits_twice_and_after_an_interruption(cuda, config):
    config = TrainingConfig(
        config.features, "7", epochs=4, out=config.out, device="cuda", checkpoint_seconds=0, meteor=False
    )

    def stop(epoch):
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    first, second = train(replace(config, out=config.out / "a")), train(replace(config, out=config.out / "b"))
    with pytest.raises(KeyboardInterrupt):
        train(config, on_epoch=stop)
    resumed = train(replace(config, resume=True))
    for other in (second, resumed):
        assert same_weights(weights_of(first), weights_of(other)) and first.predictions == other.predictions


@pytest.mark.gpu
def test_a_gpu_captions_as_the_cpu_does(cuda, config):
    run = train(TrainingConfig(config.features, "5", epochs=1, device="cuda", out=config.out, meteor=False))
    model = run.load_model()
    features, lengths, inputs = (
        torch.randn(3, 4, 8),
        torch.tensor([4, 1, 2]),
        torch.ones(3, 5, dtype=torch.int64),
    )
    with torch.no_grad():
        expected = model.captioner(model.seen(features, lengths), lengths, inputs)
        model, features, lengths, inputs = (
            model.to(cuda),
            features.to(cuda),
            lengths.to(cuda),
            inputs.to(cuda),
        )
        got = model.captioner(model.seen(features, lengths), lengths, inputs)
    torch.testing.assert_close(got.cpu(), expected, atol=1e-2, rtol=0)
