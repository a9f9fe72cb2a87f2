from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import CLASSES, DIM, Clips, make

from aqa_heads.captions.vocabulary import Vocabulary
from aqa_heads.data.batches import Split, pad_clips
from aqa_heads.evaluation import predictions
from aqa_heads.evaluation.predictions import caption_loss_per_token, predict

VOCABULARY = Vocabulary.of(["a b c d e f"])


def test_predictions_are_points_names_and_words_in_the_order_of_the_samples(monkeypatch):
    model = make("7")
    with torch.no_grad():
        model.captioner.output.bias[0] += 0.2  # captions soon end
    clips = [torch.randn(number, DIM) for number in (2, 1, 5, 3, 1)]
    alone = [predict(model, [sample], VOCABULARY) for sample in clips]
    monkeypatch.setattr(predictions, "BATCH_SIZE", 2)
    together = predict(model, clips, VOCABULARY)
    np.testing.assert_allclose(together.score, [each.score[0] for each in alone], rtol=1e-5)
    for name in CLASSES:
        assert together.classes[name] == [each.classes[name][0] for each in alone]
        assert set(together.classes[name]) <= set(CLASSES[name])
    assert together.captions == [each.captions[0] for each in alone]
    with torch.no_grad():
        points = model(clips[0][None], torch.tensor([2])).score.points
    np.testing.assert_allclose(together.score[0], points.item(), rtol=1e-5)


def test_the_model_is_evaluated_and_left_as_it_was():
    model = make("7").train()
    clips = [torch.randn(3, DIM)]
    assert predict(model, clips).score == predict(model, clips).score
    assert model.training


def test_no_samples_give_no_predictions():
    made = predict(make("baseline"), [], VOCABULARY)
    assert made.score.shape == (0,) and made.captions == [] and made.classes == {"position": [], "type": []}


def test_a_model_without_a_task_says_nothing_of_it():
    made = predict(make("baseline", ("classes",)), [torch.randn(2, DIM)], VOCABULARY)
    assert made.score is None and made.captions is None


def test_scores_are_points_above_the_centre_times_the_factor():
    model = make("baseline", ("score",))
    clips = [torch.randn(number, DIM) for number in (2, 1, 3)]
    heads = predict(model, clips).score / 17
    model.heads.score.centre = 60.0
    plain = 60 + 17 * heads
    np.testing.assert_allclose(predict(model, clips).score, plain, rtol=1e-5)
    made = predict(model, clips, factor=np.array([2.0, 0.5, np.nan])).score
    np.testing.assert_allclose(made, [2 * plain[0], plain[1] / 2, np.nan], rtol=1e-5)
    assert made.dtype == np.float64


def test_weights_of_clips_and_words_are_as_long_as_their_samples(monkeypatch):
    model = make("baseline", encoder="attention", attention="additive")
    with torch.no_grad():
        model.captioner.output.bias[0] += 0.5
        model.encoder.weight.weight.normal_()
    clips = [torch.randn(number, DIM) for number in (2, 1, 5)]
    monkeypatch.setattr(predictions, "BATCH_SIZE", 2)
    made = predict(model, clips, VOCABULARY)
    for sample, caption, contributed, attended in zip(
        clips, made.captions, made.contributions, made.attention, strict=True
    ):
        assert contributed.shape == (len(sample),) and contributed.sum() == pytest.approx(1)
        assert attended.shape == (len(caption.split()), len(sample))
        np.testing.assert_allclose(attended.sum(1), 1, rtol=1e-5)
    silent = predict(model, clips)
    assert silent.attention is None and silent.captions is None and len(silent.contributions) == 3
    assert predict(make("baseline"), clips, VOCABULARY).contributions is None


def test_the_caption_loss_is_the_mean_over_words_whatever_the_batches(monkeypatch):
    model = make("1").train()
    captions = [[1, 3, 0], [], [1, 4, 5, 6, 0], [1, 7, 0]]
    split = Split(
        [None] * 4,
        Clips(torch.randn(number, DIM) for number in (2, 1, 4, 3)),
        torch.zeros(4),
        np.ones(4),
        {},
        [torch.tensor(caption, dtype=torch.int64) for caption in captions],
    )
    whole = caption_loss_per_token(model, split)
    told = 0.0
    model.eval()
    for index in (0, 2, 3):
        numbers, clips = captions[index], split.views[index][None]
        count = torch.tensor([clips.shape[1]])
        with torch.no_grad():
            logits = model.captioner(model.seen(clips, count), count, torch.tensor([numbers[:-1]]))[0]
        told -= sum(logits.log_softmax(1)[place, word].item() for place, word in enumerate(numbers[1:]))
    assert whole == pytest.approx(told / (2 + 4 + 2), rel=1e-5)
    monkeypatch.setattr(predictions, "BATCH_SIZE", 1)
    assert caption_loss_per_token(model.train(), split) == pytest.approx(whole, rel=1e-5) and model.training
    assert caption_loss_per_token(make("1", ("score",)), split) is None
    assert (
        caption_loss_per_token(model, replace(split, captions=[torch.tensor([], dtype=torch.int64)] * 4))
        is None
    )


def test_a_wider_beam_gives_captions_that_are_as_probable_or_more():
    model = make("baseline")
    clips = [torch.randn(number, DIM) for number in (2, 1, 5)]
    features, count = pad_clips(clips)
    greedy, wide = (model.generate(features, count, beam=beam) for beam in (1, 3))
    assert (wide.log_probability >= greedy.log_probability - 1e-5).all()
    said = predict(model, clips, VOCABULARY, beam=3).captions
    assert said == [VOCABULARY.decode(numbers) for numbers in wide.words.tolist()]
