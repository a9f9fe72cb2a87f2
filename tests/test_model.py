import pytest
import torch
from synthetic_cache import small_models

from aqa_heads.configuration import TrainingConfig
from aqa_heads.experiments import EXPERIMENTS, TASKS
from aqa_heads.model import AqaModel

DIM, WORDS = 6, 9
CLASSES = {"position": ["free", "pike", "tuck"], "type": ["a", "b"]}


def make(experiment: str, tasks=TASKS) -> AqaModel:
    torch.manual_seed(0)
    architecture = TrainingConfig("", experiment).architecture
    with small_models():
        return AqaModel(
            DIM, tasks=tasks, classes=CLASSES, words=WORDS, score_scale=17.0, encoder_hidden=16, encoder_layers=2, **architecture
        ).eval()  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_padding_never_changes_a_result(experiment):
    model = make(experiment)
    features, count = torch.randn(3, 4, DIM), torch.tensor([4, 1, 2])
    heard = torch.randint(0, WORDS, (3, 5))
    # Not even where the padding is garbage.
    together = model(features, count, heard)
    with torch.no_grad():
        said = model.speak(features, count, steps=6)
        for row, number in enumerate(count):
            alone = model(features[row : row + 1, :number], count[row : row + 1], heard[row : row + 1])
            torch.testing.assert_close(together.score[row], alone.score[0], atol=1e-5, rtol=0)
            for name in CLASSES:
                torch.testing.assert_close(together.classes[name][row], alone.classes[name][0], atol=1e-5, rtol=0)
            torch.testing.assert_close(together.spoken[row], alone.spoken[0], atol=1e-5, rtol=0)
            assert torch.equal(
                said[row], model.speak(features[row : row + 1, :number], count[row : row + 1], steps=6)[0]
            )


@pytest.mark.parametrize("experiment", ["baseline", "7"])
def test_the_standardiser_serves_every_task(experiment):
    model, plain = make(experiment), make(experiment)
    model.standardiser.mean.fill_(2.0)
    model.standardiser.scale.fill_(0.5)
    features, count, heard = torch.randn(2, 3, DIM), torch.tensor([3, 2]), torch.ones(2, 4, dtype=torch.int64)
    got, expected = model(features, count, heard), plain((features - 2) / 2, count, heard)
    torch.testing.assert_close(got.score, expected.score)
    torch.testing.assert_close(got.spoken, expected.spoken)


@pytest.mark.parametrize(
    "tasks, parts",
    [
        (("score",), {"encoder", "heads", "standardiser"}),
        (("classes",), {"encoder", "heads", "standardiser"}),
        (("caption",), {"captioner", "standardiser"}),
        (TASKS, {"encoder", "heads", "standardiser", "captioner"}),
    ],
)
def test_only_what_the_tasks_need_is_built(tasks, parts):
    model = make("baseline", tasks)
    assert {name for name, _ in model.named_children()} == parts
    output = model(torch.randn(1, 2, DIM), torch.tensor([2]), torch.ones(1, 3, dtype=torch.int64))
    assert (output.score is not None) == ("score" in tasks)
    assert set(output.classes) == (set(CLASSES) if "classes" in tasks else set())
    assert (output.spoken is not None) == ("caption" in tasks)
