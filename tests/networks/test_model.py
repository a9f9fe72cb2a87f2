import json

import pytest
import torch
from small_models import CLASSES, DIM, WORDS, make

from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.settings.experiments import ATTENTIONS, ENCODERS, EXPERIMENTS, TASKS

VARIANTS = [
    *((name, {}) for name in EXPERIMENTS),
    *(("baseline", {"encoder": name}) for name in ENCODERS),
    *(("baseline", {"attention": name}) for name in ATTENTIONS),
    ("3", {"projection": 5}),
    ("7", {"projection": 5, "direct": True}),
]


@pytest.mark.parametrize("experiment, options", VARIANTS, ids=str)
def test_padding_never_changes_a_result(experiment, options):
    model = make(experiment, **options)
    features, lengths = torch.randn(3, 4, DIM), torch.tensor([4, 1, 2])
    inputs = torch.randint(0, WORDS, (3, 5))
    # Not even where the padding is garbage.
    with torch.no_grad():
        together, said = model(features, lengths), model.generate(features, lengths).words
        told = model.captioner(model.seen(features, lengths), lengths, inputs)
        for row, number in enumerate(lengths):
            mine = features[row : row + 1, :number], lengths[row : row + 1]
            alone = model(*mine)
            torch.testing.assert_close(together.score.points[row], alone.score.points[0], atol=1e-4, rtol=0)
            for name in CLASSES:
                torch.testing.assert_close(
                    together.classes[name][row], alone.classes[name][0], atol=1e-5, rtol=0
                )
            spoken = model.captioner(model.seen(*mine), mine[1], inputs[row : row + 1])[0]
            torch.testing.assert_close(told[row], spoken, atol=1e-5, rtol=0)
            assert torch.equal(said[row], model.generate(*mine).words[0])


@pytest.mark.parametrize("experiment", ["baseline", "7"])
@pytest.mark.parametrize("direct", [False, True])
def test_the_standardiser_serves_every_task(experiment, direct):
    model, plain = make(experiment, direct=direct), make(experiment, direct=direct)
    model.standardiser.mean.fill_(2.0)
    model.standardiser.scale.fill_(0.5)
    features, lengths, inputs = (
        torch.randn(2, 3, DIM),
        torch.tensor([3, 2]),
        torch.ones(2, 4, dtype=torch.int64),
    )
    targets, positions = torch.tensor([3, 4, 0, 5, 0]), torch.tensor([0, 1, 2, 4, 5])
    scaled = (features - 2) / 2
    torch.testing.assert_close(model(features, lengths).score.points, plain(scaled, lengths).score.points)
    torch.testing.assert_close(
        model.caption_loss(features, lengths, inputs, targets, positions),
        plain.caption_loss(scaled, lengths, inputs, targets, positions),
    )


@pytest.mark.parametrize(
    "tasks, modules, parts",
    [
        (("score",), {"encoder", "heads"}, {"assessment": {"encoder", "heads"}}),
        (("classes",), {"encoder", "heads"}, {"assessment": {"encoder", "heads"}}),
        (("caption",), {"captioner"}, {"captioner": {"captioner"}}),
        (
            TASKS,
            {"encoder", "heads", "captioner"},
            {"assessment": {"encoder", "heads"}, "captioner": {"captioner"}},
        ),
    ],
)
def test_only_what_the_tasks_need_is_built(tasks, modules, parts):
    model = make("baseline", tasks)
    assert {name for name, module in model.named_children() if module is not None} == modules | {
        "standardiser"
    }
    assert {name: set(part) for name, part in model.parts.items()} == parts
    features, lengths, inputs = torch.randn(1, 2, DIM), torch.tensor([2]), torch.ones(1, 3, dtype=torch.int64)
    output = model(features, lengths)
    assert (output.score is not None) == ("score" in tasks) == model.has_score
    assert set(output.classes) == (set(CLASSES) if "classes" in tasks else set())
    if "caption" in tasks:
        assert model.caption_loss(features, lengths, inputs, torch.tensor([3, 0]), torch.tensor([0, 1])) > 0


@pytest.mark.parametrize(
    "tasks, part", [(TASKS, "model"), (("score", "classes"), "assessment"), (("caption",), "captioner")]
)
def test_a_projection_is_trained_with_whatever_sees_it(tasks, part):
    model = make("3", tasks, projection=5)
    assert list(model.parts) == [part]
    mine = set(model.parts[part].parameters())
    assert set(model.projection.parameters()) < mine
    assert mine == set(model.parameters())


@pytest.mark.parametrize("projection", [None, 5])
def test_every_weight_belongs_to_one_part(projection):
    model = make("7", projection=projection, direct=projection is None)
    found = [parameter for part in model.parts.values() for parameter in part.parameters()]
    assert len(found) == len(set(found)) and set(found) == set(model.parameters())


def test_the_direct_path_is_added_to_the_score_and_is_all_of_it_at_first():
    model = make("baseline", ("score", "classes"), direct=True)
    features, lengths = torch.randn(3, 4, DIM), torch.tensor([4, 1, 2])
    mean = torch.stack([sample[:number].mean(0) for sample, number in zip(features, lengths)])
    ridge = model.heads.direct(mean).squeeze(1).double()
    torch.testing.assert_close(model(features, lengths).score.points, 17 * ridge)
    with torch.no_grad():
        model.heads.score.bias.fill_(2.0)
    torch.testing.assert_close(model(features, lengths).score.points, 17 * (ridge + 2))


def test_a_model_is_what_its_config_says():
    config = {
        "features": {"dim": DIM},
        "tasks": ["score"],
        "classes": {},
        "score_scale": 9.0,
        "score_centre": 50.0,
        "rnn": None,
        "layers": None,
        "attention": None,
        "residual": False,
        "encoder": "lstm",
        "encoder_hidden": 8,
        "encoder_layers": 1,
        "projection": None,
        "dropout": 0.25,
        "head": "linear",
        "direct": False,
    }
    architecture = Architecture.from_record(config, 0)
    assert Architecture(**json.loads(json.dumps(architecture.record()))) == architecture
    model = AqaModel(architecture)
    assert (model.score_scale, model.score_centre, model.heads.fc6, model.heads.dropout) == (
        9.0,
        50.0,
        None,
        0.25,
    )
    assert model.parameter_count == 4 * 8 * (DIM + 8 + 2) + 8 + 1
