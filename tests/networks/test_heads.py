import pytest
import torch

from aqa_heads.errors import TrainingError
from aqa_heads.networks.heads import Heads
from aqa_heads.networks.score_heads.regression import RegressionHead
from aqa_heads.networks.score_heads.seam import Encoded, ScorePrediction, Sizes


def make(width, score=RegressionHead, classes=None, direct=None, **options):
    return Heads(Sizes(width, direct or width), score, classes or {}, direct=direct is not None, **options)


def say(heads, pooled, mean=None):
    """Scores in units of the score scale, and logits."""
    score, classes = heads(heads.share(Encoded(pooled, mean)))
    return None if score is None else score.points.float(), classes


def test_parameter_counts_are_the_originals():
    classes = {"position": 3, "armstand": 2, "rotation_type": 4, "somersaults": 10, "twists": 8}
    with torch.device("meta"):
        heads = make(8192, classes=classes)
    count = {
        name: sum(parameter.numel() for parameter in getattr(heads, name).parameters())
        for name in ("fc6", "score", "classes")
    }
    assert count == {"fc6": 33_558_528, "score": 4_097, "classes": 110_619}


def test_any_column_name_can_be_a_head():
    heads = make(3, classes={"type": 2, "a.b": 3, "": 4, "forward": 5})
    score, classes = say(heads, torch.randn(2, 3))
    assert score.shape == (2,)
    assert {name: tuple(logits.shape) for name, logits in classes.items()} == {
        "type": (2, 2),
        "a.b": (2, 3),
        "": (2, 4),
        "forward": (2, 5),
    }


def test_points_of_another_shape_are_refused():
    class Column(RegressionHead):
        def predict(self, encoded, known):
            return ScorePrediction(super().predict(encoded, known).points.unsqueeze(1))

    with pytest.raises(TrainingError, match=r"Column.predict gives points of shape .2, 1., expected .2,."):
        say(make(3, Column), torch.randn(2, 3))


def test_without_score_there_is_no_score():
    score, classes = say(make(3, None, {"a": 2}), torch.randn(2, 3))
    assert score is None and list(classes) == ["a"]


def test_dropout_is_before_and_after_the_shared_layer_and_only_in_training():
    torch.manual_seed(0)
    heads = make(50, classes={"a": 2}, dropout=0.5)
    encoded = torch.ones(2000, 50)
    assert torch.equal(say(heads.eval(), encoded)[0], say(heads, encoded)[0])
    seen = []
    heads.fc6.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    heads.score.register_forward_hook(lambda _, given, made: seen.append((given[0].shared, made)))
    say(heads.train(), encoded)
    (before, made), (after, _) = seen
    assert (before == 0).float().mean().item() == pytest.approx(0.5, abs=0.02) and set(
        before.unique().tolist()
    ) == {
        0.0,
        2.0,
    }
    alive = torch.relu(made) > 0
    assert (after[alive] == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_without_a_shared_layer_the_score_is_linear():
    heads = make(3, linear=True)
    assert heads.fc6 is None and sum(parameter.numel() for parameter in heads.parameters()) == 3 + 1
    left, right = torch.randn(2, 4, 3)
    zero = say(heads, torch.zeros(1, 3))[0]
    torch.testing.assert_close(say(heads, left)[0] + say(heads, right)[0] - zero, say(heads, left + right)[0])


def test_a_direct_path_is_beside_everything_else():
    heads = make(3, classes={"a": 2}, direct=5)
    mean = torch.randn(4, 5)
    torch.testing.assert_close(say(heads, torch.randn(4, 3), mean)[0], heads.direct(mean).squeeze(1))
    assert make(3, None, {"a": 2}, direct=5).direct is None
