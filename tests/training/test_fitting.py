import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from planned import planned_data
from synthetic_cache import write_synthetic_cache
from torch import nn

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.threads import cpu_threads
from aqa_heads.errors import DivergedError
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.runs.folder import Work
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training import computing, fitting, steps
from aqa_heads.training.best_weights import BestWeights
from aqa_heads.training.epoch_results import losses_of, value_of
from aqa_heads.training.fitting import Fitting
from aqa_heads.training.listener import Listener
from aqa_heads.training.loss_sums import LossSums
from aqa_heads.training.losses import Loss, multitask_loss
from aqa_heads.training.part import Part
from aqa_heads.training.processes import Processes
from aqa_heads.training.run import train
from aqa_heads.training.steps import CachedSteps

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def config(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5")
    return TrainingConfig(
        path,
        "7",
        epochs=2,
        dropout=0.5,
        tasks=("score", "classes"),
        out=tmp_path / "runs",
        device="cpu",
        meteor=False,
        ridge_start=False,
    )


def prepared(config):
    """Model and data as `train` makes them."""
    with FeatureCache(config.features) as cache:
        data = planned_data(cache, config)
    resolved = config.resolve()
    torch.manual_seed(config.seed)
    record = {
        "features": {"dim": 8},
        "classes": data.class_names,
        "score_scale": 15.0,
        "score_centre": 60.0,
        "projection": None,
        "head": "fc6",
        "direct": False,
    }
    record = resolved.deciding() | resolved.columns | record
    return (
        AqaModel(Architecture.from_record(record, len(data.vocabulary or ()))),
        data,
    )


def fitted(config, tmp_path):
    model, data = prepared(config)
    config, work = config.resolve(), Work(tmp_path, 1e9)
    taken = CachedSteps(model, data, config, work, Processes(torch.device("cpu")))
    epochs = Fitting(taken, data, config, work, {}).fit(Listener())
    return model, epochs, taken.parts


def test_order_and_dropout_follow_from_seed_epoch_and_part(config, tmp_path, monkeypatch):
    model, data = prepared(config)
    seen = []

    def record(model, batch):
        seen[-1].append((batch.features.sum().item(), torch.rand(1).item()))
        return Loss()

    monkeypatch.setattr(steps, "_LOSSES", dict.fromkeys(steps._LOSSES, record))
    for seed, epoch, name in (
        (0, 1, "assessment"),
        (0, 1, "assessment"),
        (0, 2, "assessment"),
        (1, 1, "assessment"),
        (2**32, 1, "assessment"),
        (0, 1, "captioner"),
    ):
        seen.append([])
        torch.rand(3)  # what was drawn before makes no difference
        part = Part(name, nn.Module(), [], None)
        resolved = replace(config, seed=seed, batch_size=2).resolve()
        taken = CachedSteps(model, data, resolved, Work(tmp_path, 1e9), Processes(torch.device("cpu")))
        Fitting(taken, data, resolved, Work(tmp_path, 1e9), {})._train_epoch(part, epoch, 0, Listener())
    order = [[first for first, _ in batches] for batches in seen]
    drawn = [[number for _, number in batches] for batches in seen]
    assert seen[0] == seen[1] and len({tuple(row) for row in order}) == 4 == len(order) - 2
    assert order[5] == order[0] and drawn[5] != drawn[0]
    numbers = {steps.seed_of(seed, epoch) for seed in (0, 1, 2**32) for epoch in range(50)}
    assert len(numbers) == 150


def test_threads_of_a_step_follow_from_its_work(config, tmp_path, monkeypatch):
    """Of each part by itself, and only while it is trained."""
    config = replace(config, tasks=TASKS, epochs=1)
    resolved, work = config.resolve(), Work(tmp_path, 1e9)
    model, data = prepared(config)
    weights = sum(weight.numel() for weight in model.captioner.parameters())
    samples, words = len(data.train), np.mean([len(caption) for caption in data.train.captions])
    seen = set()

    def trained() -> dict[str, int]:
        made = CachedSteps(model, data, resolved, work, Processes(torch.device("cpu")))
        take = made.take

        def noted(part, *others):
            seen.add((part.name, torch.get_num_threads()))
            return take(part, *others)

        monkeypatch.setattr(made, "take", noted)
        Fitting(made, data, resolved, work, {}).fit(Listener())
        return {part.name: made.threads(part) for part in made.parts}

    monkeypatch.setattr(computing, "available_cores", lambda: 4)
    with cpu_threads(4):
        assert trained() == {"assessment": 1, "captioner": 1}  # tiny networks
        captioner = weights * (min(resolved.batch_size, samples) * words + 1)
        monkeypatch.setattr(computing, "_WAIT", captioner / 3.5**2)
        seen.clear()
        assert trained() == {"assessment": 1, "captioner": 3}
        assert seen == {("assessment", 1), ("captioner", 3)} and torch.get_num_threads() == 4


@pytest.mark.parametrize("encoder", ["lstm", "gru", "attention", "transformer", "frugal"])
def test_one_step_changes_every_parameter(config, tmp_path, monkeypatch, encoder):
    if encoder == "frugal":
        monkeypatch.setattr("aqa_heads.networks.model.FRUGAL_HIDDEN", 1)
    config = replace(
        config,
        experiment="1",
        encoder="lstm" if encoder == "frugal" else encoder,
        encoder_hidden=16,
        encoder_layers=2,
        tasks=TASKS,
        epochs=1,
        protocol="paper",
        weight_decay=0.0,
    )
    before = dict(prepared(config)[0].named_parameters())
    model, *_ = fitted(config, tmp_path)
    unchanged = [name for name, weight in model.named_parameters() if torch.equal(weight, before[name])]
    # The attention encoder begins as the average: what its weights over clips are made of waits for the
    # second step.
    waiting = [f"encoder.{layer}.{kind}" for layer in ("content", "gate") for kind in ("weight", "bias")]
    assert unchanged == (waiting if encoder == "attention" else [])


def test_epoch_losses_are_means_over_all_samples_also_with_a_smaller_last_batch(config):
    model, data = prepared(replace(config, experiment="1", tasks=TASKS, protocol="paper"))
    model.eval()
    sums, total = LossSums(), len(data.train)
    with torch.no_grad():
        whole = multitask_loss(model, data.train.batch(range(total)))
        for indices in ([0, 3, 2, 5, 11], [1, 4, 10], [6], [7, 8, 9]):
            batch = data.train.batch(indices)
            sums.add(multitask_loss(model, batch), batch)
    means = sums.means()
    assert means["train_score_loss"] == pytest.approx(whole.score.item(), rel=1e-5)
    assert means["train_class_loss"] == pytest.approx(sum(whole.classes.values()).item(), rel=1e-5)
    assert means["train_caption_loss"] == pytest.approx(whole.caption.item(), rel=1e-5)
    words = sum(len(caption) - 1 for caption in data.train.captions)
    assert means["train_caption_loss_per_token"] == pytest.approx(
        whole.caption.item() * total / words, rel=1e-5
    )


def test_a_part_keeps_its_best_and_stops_when_patience_ends(tmp_path):
    layer = nn.Linear(1, 1)
    part = Part("assessment", layer, [], BestWeights(tmp_path / "best"))
    stopped = []
    for epoch, value in enumerate([0.1, 0.3, None, 0.3, 0.2, 0.4, -1.0, 0.0, 0.4], 1):
        layer.weight.data.fill_(epoch)
        part.judge(epoch, value, patience=3)
        stopped.append(part.stopped)
    # Only what is better counts: 0.3 in epoch 4 does not, so patience ends three epochs after the second.
    # Nothing was measured in epoch 3.
    assert stopped == [False] * 4 + [True, False, False, False, True] and (
        part.best_value,
        part.best_epoch,
    ) == (0.4, 6)
    part.best.put_back(layer)
    assert layer.weight.item() == 6


def test_what_a_part_is_chosen_by():
    row = {"val_spearman": 0.5, "val_class_accuracy": 0.9, "val_caption_loss_per_token": 3.0}
    assert value_of("assessment", row) == value_of("model", row) == 0.5
    assert value_of("captioner", row) == -3.0
    assert value_of("assessment", row | {"val_spearman": None}) == 0.9
    # Constant predictions rank nothing: no reason to keep these weights, and none to look at the classes
    # instead.
    assert value_of("assessment", row | {"val_spearman": math.nan}) is None
    assert value_of("captioner", row | {"val_caption_loss_per_token": None}) is None


def test_the_loss_is_the_sum_of_its_parts_also_of_one_that_has_stopped():
    assessment = Part("assessment", None, [], None, losses={"train_score_loss": 2.0, "train_class_loss": 1.0})
    losses = {"train_caption_loss": 50.0, "train_caption_loss_per_token": 5.0}
    captioner = Part("captioner", None, [], None, stopped=True, losses=losses)
    assert losses_of([assessment, captioner]) == {
        "train_loss": 3.5,
        "train_score_loss": 2.0,
        "train_class_loss": 1.0,
        "train_caption_loss": None,
        "train_caption_loss_per_token": None,
    }
    assessment.losses["train_score_loss"] = math.inf
    with pytest.raises(FloatingPointError):
        losses_of([assessment, captioner])


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_divergence_is_an_error_and_leaves_nothing(config, protocol):
    with pytest.raises(DivergedError, match="diverged in epoch 1 .*try an --lr below 1e.30"):
        train(replace(config, lr=1e30, protocol=protocol, checkpoint_seconds=0))
    assert list(config.out.iterdir()) == []


@pytest.mark.parametrize(
    "tasks, protocol", [(("classes",), "paper"), (("caption",), "paper"), (("caption",), "honest")]
)
def test_a_last_step_that_diverges_is_an_error(config, monkeypatch, tasks, protocol):
    step = torch.optim.AdamW.step

    def diverge(optimiser):
        step(optimiser)
        optimiser.param_groups[0]["params"][-1].data[0] = float("nan")

    monkeypatch.setattr(torch.optim.AdamW, "step", diverge)
    with pytest.raises(DivergedError, match="diverged in epoch 1 .*try an? --(caption-)?lr below"):
        train(replace(config, tasks=tasks, epochs=1, batch_size=16, protocol=protocol))
    assert list(config.out.iterdir()) == []


def test_a_divergence_later_on_leaves_no_checkpoint_either(config, monkeypatch):
    evaluate, calls = fitting.evaluate, []

    def fail(*given):
        calls.append(1)
        if len(calls) == 3:
            raise FloatingPointError("a predicted score is not finite")
        return evaluate(*given)

    monkeypatch.setattr(fitting, "evaluate", fail)
    with pytest.raises(DivergedError, match="in epoch 3 .a predicted score is not finite"):
        train(replace(config, epochs=5, checkpoint_seconds=0))
    assert list(config.out.iterdir()) == []


def test_parts_that_stop_take_no_more_steps_and_the_run_ends_with_the_last(config, tmp_path):
    """The captioner goes on where the assessment has ended."""
    config = replace(config, experiment="1", tasks=TASKS, epochs=80, patience=2, lr=1e-2, caption_lr=1e-2)
    _, epochs, parts = fitted(config, tmp_path)
    ends = {part.name: part.best_epoch + 2 for part in parts}
    assert ends["assessment"] != ends["captioner"] and max(ends.values()) == len(epochs) < 80
    trained = {
        "assessment": [epoch.epoch for epoch in epochs if epoch.train_score_loss is not None],
        "captioner": [epoch.epoch for epoch in epochs if epoch.train_caption_loss is not None],
    }
    assert trained == {name: list(range(1, end + 1)) for name, end in ends.items()}
    assert all(np.isfinite(epoch.train_loss) for epoch in epochs)


def test_the_captioner_has_a_learning_rate_of_its_own_where_it_is_trained_apart(
    config, tmp_path, monkeypatch
):
    config = replace(
        config, experiment="1", tasks=TASKS, epochs=1, protocol="paper", caption_lr=1e-30, weight_decay=0.0
    )
    before = prepared(config)[0].state_dict()
    model, *_ = fitted(config, tmp_path)
    moved = {
        name.split(".")[0]
        for name, weight in model.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    assert moved == {"heads"}
    model, *_ = fitted(replace(config, lr=1e-30, caption_lr=1e-4), tmp_path)
    moved = {
        name.split(".")[0]
        for name, weight in model.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    assert moved == {"captioner"}
