import torch

from aqa_heads.heads import Heads


def test_parameter_counts_are_the_originals():
    classes = {"position": 3, "armstand": 2, "rotation_type": 4, "somersaults": 10, "twists": 8}
    with torch.device("meta"):
        heads = Heads(8192, True, classes)
    count = {
        name: sum(parameter.numel() for parameter in getattr(heads, name).parameters())
        for name in ("fc6", "score", "classes")
    }
    assert count == {"fc6": 33_558_528, "score": 4_097, "classes": 110_619}


def test_any_column_name_can_be_a_head():
    heads = Heads(3, True, {"type": 2, "a.b": 3, "": 4, "forward": 5})
    score, classes = heads(torch.randn(2, 3))
    assert score.shape == (2,)
    assert {name: tuple(logits.shape) for name, logits in classes.items()} == {
        "type": (2, 2), "a.b": (2, 3), "": (2, 4), "forward": (2, 5),
    }  # fmt: skip


def test_without_score_there_is_no_score():
    score, classes = Heads(3, False, {"a": 2})(torch.randn(2, 3))
    assert score is None and list(classes) == ["a"]
