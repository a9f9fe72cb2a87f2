"""The seam of score heads, held to by two heads that only tests have: judges' marks, and exemplars by key."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupted_runs import Interrupt
from own_heads import MARKS
from small_models import CLASSES, DIM, make
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads import predict, read_model, read_run, train
from aqa_heads.errors import TrainingError
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.networks.score_heads.by_name import score_head_class
from aqa_heads.networks.score_heads.known import known_of
from aqa_heads.networks.score_heads.seam import Encoded, Known, ScoreHead
from aqa_heads.settings.experiments import KNOWN_SCORE_HEADS, SCORE_HEADS
from aqa_heads.settings.naming import run_name
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.losses import assessment_loss

JUDGES, EXEMPLARS = "own_heads:JudgesHead", "own_heads:ExemplarHead"
# Of the default model, as all runs before the seam have them.
WEIGHTS = [
    "standardiser.mean",
    "standardiser.scale",
    "heads.fc6.weight",
    "heads.fc6.bias",
    "heads.score.weight",
    "heads.score.bias",
    "heads.classes.0.weight",
    "heads.classes.0.bias",
    "heads.classes.1.weight",
    "heads.classes.1.bias",
    "heads.direct.weight",
    "heads.direct.bias",
]


def test_weights_keep_their_names_and_order():
    model = make("baseline", ("score", "classes"), direct=True)
    assert list(model.state_dict()) == WEIGHTS
    # Checkpoints know an optimiser's state by this order alone.
    assert [name for name, _ in model.named_parameters()] == WEIGHTS[2:]


def test_every_head_that_comes_with_the_program_is_one():
    for name in SCORE_HEADS:
        assert issubclass(score_head_class(name), ScoreHead)


def test_a_head_is_told_what_it_asks_for_and_nothing_else():
    samples = [
        Sample("a", "v", final_score=50.0, difficulty=2.5, judges=(5.0, float("nan")), classes={"type": "b"}),
        Sample("b", "v", judges=(7.0,), classes={"type": "unheard of"}),
        None,
    ]

    class Curious(ScoreHead):
        needs, reads, key = frozenset({"key"}), frozenset({"difficulty", "marks"}), "type"

    cpu, labelled = torch.device("cpu"), torch.tensor([0])
    head = Curious(None)
    known = known_of(samples, head, CLASSES, cpu, labelled)
    np.testing.assert_array_equal(known.difficulty, [2.5, np.nan, np.nan])
    np.testing.assert_array_equal(known.keys, [1, np.nan, np.nan])
    np.testing.assert_array_equal(known.marks, [[5, np.nan], [7, np.nan], [np.nan, np.nan]])
    assert known.labelled is labelled
    assert known_of(samples, head, CLASSES, cpu).marks is None, "there are none when scores are predicted"
    head.needs = head.reads = frozenset()
    assert known_of(samples, head, CLASSES, cpu) == Known()


def with_marks(index, sample):
    """Three judges, of whom one is not always there; their marks add up to the score."""
    marks = [round(2 * sample.final_score / 30) / 2] * 3
    return replace(sample, judges=(*marks[:2], float("nan") if index % 3 == 0 else marks[2]))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    path = write_synthetic_cache(folder / "feats.h5", change=with_marks)
    with small_models():
        yield TrainingConfig(
            path,
            experiment="baseline",
            epochs=3,
            lr=1e-3,
            tasks=("score", "classes"),
            out=folder / "runs",
            device="cpu",
            meteor=False,
        )


@pytest.fixture(scope="module", params=[JUDGES, EXEMPLARS])
def trained(request, config, tmp_path_factory):
    # An encoder that learns: what a head keeps of training samples has to follow it.
    out = tmp_path_factory.mktemp("trained")  # made again for every order of the tests
    run = train(replace(config, encoder="attention", score_head=request.param, out=out))
    with FeatureCache(config.features) as cache:
        clips = [torch.from_numpy(cache.features(index)) for index in range(len(cache))]
        samples = {sample.sample_id: (sample, clips[i]) for i, sample in enumerate(cache.samples)}
    rows = run.predictions
    order = [samples[row["sample_id"]] for row in rows]
    return run, [sample for sample, _ in order], [clips for _, clips in order]


def test_a_head_of_ones_own_is_trained_saved_and_predicts_from_its_file_alone(trained):
    run, samples, clips = trained
    name = run.config["score_head"]
    slug = name.lower().replace(":", "-")
    assert run.folder.name == f"baseline-encoder-attention-score-head-{slug}-tasks-score-classes"
    assert f"score head {name}" in run.config["label"] and not run.config["direct"]
    losses = [epoch.train_score_loss for epoch in run.epochs]
    assert losses[-1] < losses[0]
    expected = [float(row["predicted_score"]) for row in run.predictions]
    for model in (run.load_model(), read_model(run.folder / "model.safetensors")[0]):
        made = predict(model, clips, samples=samples)
        np.testing.assert_allclose(made.score, expected, rtol=1e-5)
        assert made.spread.shape == (len(samples),) and (made.spread >= 0).all()


def test_predictions_carry_a_distribution_where_the_head_has_one(trained):
    run, samples, clips = trained
    made = predict(run.load_model(), clips, samples=samples, factor=np.full(len(clips), 2.0))
    if run.config["score_head"] == EXEMPLARS:
        assert made.distribution is None
        return
    points, probabilities = made.distribution
    assert points.shape == probabilities.shape == (len(clips), len(MARKS))
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose((points * probabilities).sum(1), made.score, rtol=1e-4)
    assert predict(run.load_model(), [], samples=[]).score.shape == (0,)


def test_exemplars_are_training_samples_only_as_they_are_encoded_at_the_end(trained):
    run, samples, clips = trained
    if run.config["score_head"] == JUDGES:
        assert run.config["score_options"] == {"judges": 3}
        return
    head, model = run.load_model().heads.score, run.load_model()
    train_rows = [i for i, row in enumerate(run.predictions) if row["split"] == "train"]
    scores = torch.tensor([samples[index].final_score for index in train_rows])
    torch.testing.assert_close(head.points.sort().values, scores.sort().values)
    with torch.no_grad():
        encoded = [
            model.encode(clips[i][None], torch.tensor([len(clips[i])])).pooled[0]
            for i in np.array(train_rows)[scores.argsort().numpy()]
        ]
    torch.testing.assert_close(head.features[head.points.argsort()], torch.stack(encoded))


def test_padding_and_the_rest_of_the_batch_change_nothing(trained):
    run, samples, clips = trained
    model = run.load_model()
    together = predict(model, clips, samples=samples).score
    alone = [
        predict(model, [each], samples=[sample]).score[0] for each, sample in zip(clips, samples, strict=True)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_samples_without_a_score_are_no_part_of_the_loss(trained):
    run, samples, clips = trained
    model, chosen = run.load_model(), [0, 1, 2]
    head = model.heads.score
    with torch.no_grad():
        encoded = model.encode(
            torch.nn.utils.rnn.pad_sequence([clips[i] for i in chosen], batch_first=True),
            torch.tensor([len(clips[i]) for i in chosen]),
        )
        points = torch.tensor([samples[i].final_score for i in chosen])
        known = [
            known_of([samples[i] for i in chosen], head, {}, points.device, torch.tensor(labelled))
            for labelled in ([0, 1, 2], [0, 2])
        ]
        everyone = head.loss(encoded, known[0], points)
        points[1] = torch.nan
        torch.testing.assert_close(head.loss(encoded, known[1], points), everyone[[0, 2]])


def test_a_resumed_run_of_a_head_that_keeps_samples_ends_with_the_same_bits(config, tmp_path):
    asked = replace(config, score_head=EXEMPLARS, encoder="attention", checkpoint_seconds=0)
    whole = train(replace(asked, out=tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        train(replace(asked, out=tmp_path), on_epoch=Interrupt(after=3))
    resumed = train(replace(asked, out=tmp_path, resume=True))
    for name, weight in whole.load_model().state_dict().items():
        assert torch.equal(weight, resumed.load_model().state_dict()[name]), name


def test_needs_are_held_against_data_and_encoder_before_anything_is_trained(config, tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", change=lambda i, s: replace(s, difficulty=None))
    asked = replace(config, features=path, out=tmp_path)
    for head, message in (
        (EXEMPLARS, "needs a key to pair samples by, but no training sample has a difficulty; fill in"),
        (
            "own_heads:PartsHead",
            "needs an encoder with parts, not average; give another --encoder; and it needs judges' marks",
        ),
    ):
        with pytest.raises(TrainingError, match=f"feats.h5: the score head {head} {message}"):
            train(replace(asked, score_head=head))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_nothing_is_imported_because_a_run_names_it(trained, monkeypatch):
    run, samples, clips = trained
    name = run.config["score_head"]
    monkeypatch.delitem(KNOWN_SCORE_HEADS.registered, name)
    message = (
        f"the score head '{name}' is not known here, and nothing is imported .* give --score-head {name}"
    )
    with pytest.raises(TrainingError, match=message):
        read_run(run.folder).load_model()
    with pytest.raises(TrainingError, match=message):
        read_model(run.folder / "model.safetensors")
    KNOWN_SCORE_HEADS.give(name)
    assert predict(read_run(run.folder).load_model(), clips, samples=samples).score is not None


def test_a_loss_is_added_to_the_heads_own(config, tmp_path):
    plain = train(replace(config, epochs=1, out=tmp_path))
    doubled = train(
        replace(config, epochs=1, out=tmp_path, loss="torch.nn.functional:l1_loss", loss_weight=0.5)
    )
    loss = "loss-torch.nn.functional-l1_loss-loss-weight-0.5"
    assert doubled.folder.name == plain.folder.name.replace("baseline", f"baseline-{loss}")
    assert doubled.epochs[0].train_score_loss > plain.epochs[0].train_score_loss
    assert {"score_head", "loss", "loss_weight"}.isdisjoint(plain.config | plain.config["identity"])
    assert doubled.config["identity"]["loss_weight"] == 0.5


def test_the_encoders_own_loss_is_trained_for(own_code):
    own_code(
        "restless",
        """
        import torch
        from aqa_heads import Encoded, Encoder

        class Restless(Encoder):
            parts = 2

            def __init__(self, dim, hidden=3):
                super().__init__()
                self.out_dim = hidden
                self.layer = torch.nn.Linear(dim, hidden)

            def forward(self, features, lengths):
                pooled = self.layer(features.sum(1) / lengths.unsqueeze(1))
                parts = pooled.unsqueeze(1).expand(-1, 2, -1)
                return Encoded(pooled, parts=parts, loss=self.layer.weight.sum())
        """,
    )
    config = TrainingConfig("", experiment="baseline", encoder="restless:Restless", encoder_hidden=5)
    assert run_name(config.resolve(), "c3d") == "baseline-encoder-restless-restless-encoder-hidden-5"
    made_of = Architecture(DIM, ("score",), encoder=config.encoder, encoder_hidden=5, encoder_layers=None)
    assert json.loads(json.dumps(made_of.record()))["encoder"] == "restless:Restless"
    model = AqaModel(made_of)
    encoded = model.encode(torch.randn(3, 2, DIM), torch.tensor([2, 1, 2]))
    assert (
        isinstance(encoded, Encoded) and encoded.parts.shape == (3, 2, 5) and encoded.mean.shape == (3, DIM)
    )
    batch = Batchless(torch.randn(3, 2, DIM), torch.tensor([2, 1, 2]), torch.tensor([1.0, 2.0, 3.0]))
    loss = assessment_loss(model, batch)
    torch.testing.assert_close(loss.total, loss.score + model.encoder.layer.weight.sum())


class Batchless:
    """As much of a batch as the assessment's loss reads."""

    classified = classes = {}
    samples = ()

    def __init__(self, features, lengths, score):
        self.features, self.lengths, self.score, self.scored = (
            features,
            lengths,
            score,
            torch.arange(len(score)),
        )
