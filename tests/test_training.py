from dataclasses import replace

import pytest
import torch
from synthetic_cache import POSITIONS, small_models, without, write_synthetic_cache

from aqa_cache.cache import FeatureCache
from aqa_heads import training
from aqa_heads.configuration import TrainingConfig
from aqa_heads.errors import TrainingError
from aqa_heads.experiments import TASKS
from aqa_heads.losses import multitask_loss
from aqa_heads.model import AqaModel
from aqa_heads.runs import read_run
from aqa_heads.targets import read_training_data
from aqa_heads.training import train


@pytest.fixture(autouse=True)
def small():
    with small_models():
        yield


@pytest.fixture
def path(tmp_path):
    return write_synthetic_cache(tmp_path / "feats.h5")


@pytest.fixture
def config(path, tmp_path):
    return TrainingConfig(path, epochs=2, tasks=("score", "classes"), out=tmp_path / "runs", device="cpu")


@pytest.mark.parametrize("experiment, tasks, epochs, lr", [("baseline", TASKS, 120, 3e-3), ("7", TASKS, 200, 3e-3)])
def test_training_overfits_four_samples(tmp_path, experiment, tasks, epochs, lr):
    path = write_synthetic_cache(tmp_path / "feats.h5", train=4, test=2)
    config = TrainingConfig(
        path, experiment, epochs=epochs, lr=lr, batch_size=4, tasks=tasks, encoder_hidden=64, out=tmp_path
    )
    run = train(config)
    first, last = run.epochs[0], run.epochs[-1]
    assert last.train_score_loss < 0.1 * first.train_score_loss
    assert last.train_class_loss < 0.1 * first.train_class_loss
    assert "caption" not in tasks or last.train_caption_loss < 0.1 * first.train_caption_loss
    for row in run.predictions[:4]:
        assert row["split"] == "train" and row["predicted_class_position"] == row["class_position"]
        assert float(row["predicted_score"]) == pytest.approx(float(row["final_score"]), abs=20)


def test_same_seed_gives_the_same_bits_and_another_seed_others(config):
    config = replace(config, tasks=TASKS)
    runs = [train(replace(config, seed=seed, out=config.out / str(number))) for number, seed in enumerate((3, 3, 4))]
    weights = [run.load_model().state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    losses = [[epoch.train_loss for epoch in run.epochs] for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert runs[0].predictions == runs[1].predictions


def test_copies_of_the_plain_view_change_no_bit_and_other_views_do(config):
    config = replace(config, tasks=TASKS, epochs=3)
    runs = {}
    for name, views in {
        "one": {},
        "copies": {"again": lambda index, plain: plain, "once more": lambda index, plain: plain},
        "others": {"flip": lambda index, plain: -plain},
    }.items():
        write_synthetic_cache(config.features, views=views)
        runs[name] = train(replace(config, out=config.out / name))
    runs["plain"] = train(replace(config, views="plain"))
    weights = {name: run.load_model().state_dict() for name, run in runs.items()}
    losses = {name: [epoch.train_loss for epoch in run.epochs] for name, run in runs.items()}
    for name in ("copies", "plain"):
        assert losses[name] == losses["one"]
        assert all(torch.equal(weights[name][key], weights["one"][key]) for key in weights["one"])
        assert runs[name].predictions == runs["one"].predictions
    assert losses["others"] != losses["one"] and runs["others"].predictions != runs["one"].predictions
    assert runs["others"].config["views"] == "all" and runs["others"].config["features"]["views"] == ["plain", "flip"]
    for name in ("standardiser.mean", "standardiser.scale"):
        assert torch.equal(weights["others"][name], weights["one"][name])


def test_views_are_drawn_anew_in_every_epoch_and_never_evaluated(config, monkeypatch):
    write_synthetic_cache(config.features, views={"flip": lambda index, plain: -plain})
    with FeatureCache(config.features) as cache:
        # What the model is given tells which sample and view it is.
        known = {float(cache.features(index, view)[0, 0]): (index, view) for index in range(10) for view in (0, 1)}
    seen = {True: [], False: []}
    forward = AqaModel.forward

    def spy(model, features, count, heard=None):
        samples, views = zip(*sorted(known[first] for first in features[:, 0, 0].tolist()), strict=True)
        assert samples == (tuple(range(6)) if len(samples) == 6 else (6, 7, 8, 9))
        seen[model.training].append(views)
        return forward(model, features, count, heard)

    monkeypatch.setattr(AqaModel, "forward", spy)
    runs = []
    for seed in (0, 0, 1):
        seen[True].clear()
        train(replace(config, epochs=4, batch_size=6, seed=seed, overwrite=True))
        runs.append(list(seen[True]))
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) == 4 and len(set(runs[0])) > 1 and 0 < sum(map(sum, runs[0])) < 24
    assert seen[False] and not any(map(any, seen[False]))


def test_random_numbers_of_the_caller_are_left_alone(config):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(config)
    assert torch.equal(torch.rand(3), expected)


def test_threads_are_set_for_the_run_only(config):
    before = torch.get_num_threads()
    assert train(replace(config, threads=before + 1)).config["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_the_order_of_samples_depends_on_seed_and_epoch(path):
    with FeatureCache(path) as cache:
        split = read_training_data(cache, ("score",)).train
    seen = []

    class Recorder(torch.nn.Module):
        score_scale = 1.0

        def forward(self, features, count, heard):
            seen[-1].append(features.sum().item())
            raise StopIteration

    for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1), (2**32, 1)):
        seen.append([])
        with pytest.raises(StopIteration):
            training._train_epoch(Recorder(), None, split, 2, training._seed_of(seed, epoch))
    assert seen[0] == seen[1]
    assert len({training._seed_of(seed, epoch) for seed in (0, 1, 2**32) for epoch in range(50)}) == 150


def test_one_step_changes_every_parameter_also_of_the_lstm_encoder(path):
    with FeatureCache(path) as cache:
        data = read_training_data(cache, TASKS)
    torch.manual_seed(0)
    model = AqaModel(
        8, tasks=TASKS, classes=data.class_names, words=len(data.vocabulary), score_scale=17.0, encoder_hidden=16, encoder_layers=2,
        **TrainingConfig("", "7").architecture,
    )  # fmt: skip
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    training._train_epoch(model, optimiser, data.train, 6, 0)
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert unchanged == []


def test_epoch_losses_are_means_over_all_samples_also_with_a_smaller_last_batch(path):
    with FeatureCache(path) as cache:
        data = read_training_data(cache, TASKS)
    torch.manual_seed(0)
    model = AqaModel(
        8, tasks=TASKS, classes=data.class_names, words=len(data.vocabulary), score_scale=17.0, encoder_hidden=1, encoder_layers=1,
        **TrainingConfig("").architecture,
    ).eval()  # fmt: skip
    sums = training.LossSums()
    with torch.no_grad():
        whole = multitask_loss(model, data.train.batch(range(6)))
        for indices in ([0, 3, 2, 5], [1, 4]):
            batch = data.train.batch(indices)
            sums.add(multitask_loss(model, batch), batch)
    means = sums.means()
    assert means["train_loss"] == pytest.approx(whole.total.item(), rel=1e-5)
    assert means["train_score_loss"] == pytest.approx(whole.score.item(), rel=1e-5)
    assert means["train_class_loss"] == pytest.approx(sum(whole.classes.values()).item(), rel=1e-5)
    words = sum(len(caption) - 1 for caption in data.train.captions)
    assert means["train_caption_loss_per_token"] == pytest.approx(whole.caption.item() * 6 / words, rel=1e-5)


@pytest.mark.parametrize("experiment", ["1", "4", "5", "6"])
def test_the_captioner_leaves_score_and_classes_as_they_are(config, experiment):
    """On cached features they share no weight: rows that differ in the captioner alone agree to the bit."""
    baseline = train(replace(config, tasks=("score", "classes")))
    other = train(replace(config, tasks=TASKS, experiment=experiment))
    assert [epoch.train_score_loss for epoch in other.epochs] == [epoch.train_score_loss for epoch in baseline.epochs]
    for mine, theirs in zip(baseline.predictions, other.predictions, strict=True):
        assert {name: theirs[name] for name in mine if "caption" not in name} == {
            name: cell for name, cell in mine.items() if "caption" not in name
        }


@pytest.mark.parametrize("tasks", [("score",), ("classes",), ("caption",), ("score", "caption")])
def test_any_subset_of_tasks_trains_and_leaves_the_rest_empty(config, tasks):
    run = train(replace(config, tasks=tasks, epochs=1))
    assert run.config["tasks"] == list(tasks) and run.folder.name == "baseline-tasks-" + "-".join(tasks)
    epoch = run.epochs[0]
    assert (epoch.train_score_loss is not None) == (epoch.test_relative_l2 is not None) == ("score" in tasks)
    assert (epoch.train_class_loss is not None) == ("classes" in tasks)
    assert (
        (epoch.train_caption_loss is not None)
        == (epoch.train_caption_loss_per_token is not None)
        == ("caption" in tasks)
    )
    assert (run.summary["relative_l2"] is not None) == ("score" in tasks)
    assert set(run.summary["class_accuracy"]) == ({"position", "twists"} if "classes" in tasks else set())
    row = run.predictions[-1]
    assert bool(row["predicted_score"]) == ("score" in tasks)
    assert ("predicted_class_position" in row) == ("classes" in tasks)
    assert (run.folder / "vocabulary.json").exists() == ("caption" in tasks)


def test_partly_missing_labels_train_and_are_not_tested(tmp_path):
    def change(index, sample):
        empty = ({"final_score": None}, {"classes": {}}, {"caption": None}, {})[index % 4]
        return replace(sample, **empty)

    path = write_synthetic_cache(tmp_path / "feats.h5", 8, 8, change=change)
    run = train(TrainingConfig(path, epochs=1, out=tmp_path, batch_size=2, device="cpu"))
    assert run.config["tasks"] == list(TASKS)
    assert run.summary["floors"]["training_mean"]["n"] == 6 and run.summary["n_test"] == 8
    assert run.summary["class_accuracy"]["position"] * 6 == pytest.approx(
        round(run.summary["class_accuracy"]["position"] * 6)
    )


def test_without_test_samples_it_trains_and_reports_no_test_metrics(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", test=0)
    run = train(TrainingConfig(path, epochs=1, tasks=("score", "classes"), out=tmp_path, device="cpu"))
    assert run.summary["spearman"] is run.summary["relative_l2"] is run.summary["best_test_spearman"] is None
    assert run.summary["class_accuracy"] == {"position": None, "twists": None} and len(run.predictions) == 6
    assert set(run.summary["floors"].values()) == {None}


def test_constant_predictions_have_no_spearman_and_a_word_of_explanation(tmp_path, config, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda weight, *_, **__: weight.data.zero_())
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)
    run = train(config)
    assert run.summary["spearman"] is None
    assert run.summary["notes"] == ["spearman is not defined: the predictions of all test samples are equal"]


def test_lines_are_said_before_training_and_kept(tmp_path, config):
    write_synthetic_cache(config.features, backbone="s3d", weights="random-0", failed=(0,))
    lines, epochs = [], []
    run = train(config, say=lines.append, on_epoch=epochs.append)
    assert lines == run.config["notes"]
    assert (
        "Baseline is a C3D row of Table 1, feats.h5 holds S3D features: it runs as baseline-tasks-score-classes-on-s3d"
        in lines[0]
    )
    assert "random weights (random-0)" in lines[1] and run.config["features"]["weights_random"]
    assert [epoch.epoch for epoch in epochs] == [1, 2] and epochs[-1].train_loss == pytest.approx(
        run.epochs[-1].train_loss
    )


def test_divergence_is_an_error_and_leaves_nothing(config):
    with pytest.raises(TrainingError, match="diverged in epoch 1 .*try an --lr below 1e.30"):
        train(replace(config, lr=1e30))
    assert list(config.out.iterdir()) == []


@pytest.mark.parametrize("tasks", [("classes",), ("caption",)])
def test_a_last_step_that_diverges_is_an_error(config, monkeypatch, tasks):
    step = torch.optim.Adam.step

    def diverge(optimiser):
        step(optimiser)
        optimiser.param_groups[0]["params"][-1].data[0] = float("nan")

    monkeypatch.setattr(torch.optim.Adam, "step", diverge)
    with pytest.raises(TrainingError, match="diverged in epoch 1 .*try an --lr below"):
        train(replace(config, tasks=tasks, epochs=1, batch_size=6))
    assert list(config.out.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.\nmore"), MemoryError()],
)
def test_too_little_memory_is_one_message(config, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(training, "_fit", fail)
    with pytest.raises(TrainingError, match="cpu has not enough memory .*--batch-size or --encoder-hidden$"):
        train(config)
    error = RuntimeError("another mistake")
    with pytest.raises(RuntimeError, match="another mistake"):
        train(config)


def test_an_encoder_beyond_all_memory_is_one_message(config):
    with pytest.raises(TrainingError, match="not enough memory"):
        train(replace(config, experiment="7", encoder_hidden=2**31 - 1))


def test_a_run_is_named_after_the_tasks_it_was_trained_on(config):
    write_synthetic_cache(config.features, change=without("caption"))
    run = train(replace(config, tasks=TASKS))
    assert run.folder.name == run.config["name"] == "baseline-tasks-score-classes"
    assert run.config["label"] == "Baseline (score and classes only)"
    assert "task caption is left out: no training sample has a caption" in run.config["notes"]


def test_one_scored_test_sample_has_no_spearman_and_a_word_of_explanation(tmp_path, config):
    write_synthetic_cache(config.features, test=1)
    assert "1 test sample has a final_score: spearman" in train(config).summary["notes"][0]


@pytest.mark.parametrize("experiment, said", [("2", True), ("3", True), ("baseline", False)])
def test_s3d_rows_say_that_their_projection_is_not_there(config, experiment, said):
    write_synthetic_cache(config.features, backbone="s3d")
    notes = train(replace(config, experiment=experiment, epochs=1)).config["notes"]
    assert any("S3D feature is used directly" in note for note in notes) == said


def test_equal_training_scores_need_a_score_scale(tmp_path, config):
    write_synthetic_cache(config.features, change=lambda index, sample: replace(sample, final_score=50.0))
    with pytest.raises(TrainingError, match="the 6 training score.s. are all 50.*--score-scale"):
        train(config)
    run = train(replace(config, score_scale=17.0))
    assert run.config["score_scale"] == 17.0 and "all test scores are equal" in run.summary["notes"][-1]


def test_score_scale_is_the_deviation_of_the_training_scores(config):
    run = train(config)
    scores = [float(row["final_score"]) for row in run.predictions if row["split"] == "train"]
    assert run.config["score_scale"] == pytest.approx(
        torch.tensor(scores, dtype=torch.float64).std(correction=0).item()
    )


def test_raw_features_are_used_on_request(config):
    model = train(replace(config, standardise=False)).load_model()
    assert (model.standardiser.mean == 0).all() and (model.standardiser.scale == 1).all()
    model = train(replace(config, overwrite=True)).load_model()
    assert (model.standardiser.mean != 0).all() and (model.standardiser.scale != 1).all()


def test_the_config_describes_the_run(config):
    run = train(replace(config, experiment="7", encoder_hidden=16))
    record = run.config
    assert record["table1"] == {"backbone": "c3d", "rnn": "gru", "layers": 2, "attention": "linear", "encoder": "lstm"}
    assert (record["experiment"], record["protocol"], record["device"], record["epochs"]) == ("7", "paper", "cpu", 2)
    assert record["classes"]["position"] == sorted(set(POSITIONS) & set(record["classes"]["position"]))
    assert record["features"]["samples"] == 10 and not record["features"]["weights_random"]
    assert record == read_run(run.folder).config and record["threads"] >= 1


def test_group_and_labels_survive_into_predictions(tmp_path, config):
    write_synthetic_cache(config.features, change=without("final_score", splits=("test",)))
    rows = train(config).predictions
    assert [row["sample_id"] for row in rows] == [f"s{index:02d}" for index in range(10)]
    assert (
        rows[7]["group"] == "g1" and rows[7]["final_score"] == "" and rows[7]["predicted_score"] and rows[7]["caption"]
    )


@pytest.mark.gpu
def test_a_gpu_trains_as_the_cpu_does(cuda, config):
    config = replace(config, epochs=3, experiment="7", encoder_layers=1)  # one layer: no dropout, whose bits differ
    on_cpu, on_gpu = train(config), train(replace(config, device="cuda", out=config.out / "gpu"))
    for mine, theirs in zip(on_gpu.epochs, on_cpu.epochs, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-2)
    assert on_gpu.config["device"] == "cuda" and on_gpu.summary["peak_memory_bytes"] > 0


@pytest.mark.gpu
def test_a_gpu_captions_as_the_cpu_does(cuda, config):
    run = train(replace(config, tasks=TASKS, experiment="5", epochs=1, device="cuda"))
    model = run.load_model()
    features, count, heard = torch.randn(3, 4, 8), torch.tensor([4, 1, 2]), torch.ones(3, 5, dtype=torch.int64)
    with torch.no_grad():
        expected = model(features, count, heard).spoken
        got = model.to(cuda)(features.to(cuda), count.to(cuda), heard.to(cuda)).spoken
    torch.testing.assert_close(got.cpu(), expected, atol=1e-2, rtol=0)
