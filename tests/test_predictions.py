import numpy as np
import torch
from test_model import CLASSES, DIM, make

from aqa_heads import predictions
from aqa_heads.predictions import predict
from aqa_heads.vocabulary import Vocabulary

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
        scaled = model(clips[0][None], torch.tensor([2])).score
    np.testing.assert_allclose(together.score[0], 17 * scaled.item(), rtol=1e-5)


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
