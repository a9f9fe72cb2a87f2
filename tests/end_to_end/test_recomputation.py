import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_cache import POSITIONS, small_models
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils.rnn import pad_sequence

from aqa_cache.backbones.registry import BACKBONES
from aqa_heads.data.batches import NO_CLASS, Split
from aqa_heads.end_to_end.recomputation import RecomputedFeatures, chunk_seed
from aqa_heads.end_to_end.trainable import prepare
from aqa_heads.errors import TrainingError
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.losses import multitask_loss

CLIPS_OF_SAMPLES = [1, 1, 2]
CLIPS = sum(CLIPS_OF_SAMPLES)
CHUNKS = (1, 2, 3, CLIPS, CLIPS + 2)
CLASSES = {"position": list(POSITIONS), "twists": ["0", "10"]}

HEADS = {
    "average": {},
    "captioner alone": {"tasks": ("caption",), "attention": "dot"},
    "lstm": {"experiment": "7"},
    "lstm, direct and projected": {"experiment": "7", "direct": True, "projection": 5},
    "attention": {"encoder": "attention", "attention": "additive"},
    "attention, no captioner": {"encoder": "attention", "tasks": ("score", "classes")},
}


def make_heads(dim, experiment="baseline", tasks=TASKS, projection=None, direct=False, **options) -> AqaModel:
    torch.manual_seed(0)
    config = TrainingConfig("", experiment, **options).resolve()
    with small_models():
        return (
            AqaModel(
                Architecture(
                    dim,
                    tasks=tasks,
                    classes=CLASSES,
                    words=9,
                    score_scale=17.0,
                    score_centre=60.0,
                    encoder_hidden=16,
                    encoder_layers=2,
                    residual=config.residual,
                    projection=projection,
                    direct=direct,
                    dropout=0.2,
                    **config.columns,
                )
            )
            .double()
            .train()
        )


class Nothing(list):
    """Clip features that are put in later."""

    def read(self, index, view):
        return torch.zeros(1, 1)


# The second sample has neither score nor position, the third no caption.
SPLIT = Split(
    samples=[None] * 3,
    views=Nothing(),
    score=torch.tensor([88.0, float("nan"), 41.5]),
    factor=np.ones(3),
    classes={"position": torch.tensor([0, NO_CLASS, 2]), "twists": torch.tensor([1, 0, 0])},
    captions=[torch.tensor([1, 3, 4, 5, 0]), torch.tensor([1, 6, 0]), torch.tensor([], dtype=torch.int64)],
)


def loss_of(heads: AqaModel, features: torch.Tensor) -> torch.Tensor:
    batch = SPLIT.batch([0, 1, 2])
    padded = pad_sequence(features.split(CLIPS_OF_SAMPLES), batch_first=True)
    batch = replace(batch, features=padded, lengths=torch.tensor(CLIPS_OF_SAMPLES))
    torch.manual_seed(5)  # dropout of the heads
    return multitask_loss(heads, batch).total


def gradients(*modules: nn.Module) -> dict[str, torch.Tensor]:
    named = [item for module in modules for item in module.named_parameters()]
    found = {
        f"{number} {name}": parameter.grad
        for number, (name, parameter) in enumerate(named)
        if parameter.requires_grad
    }
    for module in modules:
        module.zero_grad()
    return found


def assert_equal(found: dict, expected: dict, relative: float = 1e-10) -> None:
    assert found.keys() == expected.keys() and len(found)
    moved = 0
    for name, gradient in expected.items():
        if gradient is None:  # the caption loss alone does not reach the score head, for example
            assert found[name] is None, name
            continue
        scale = float(gradient.abs().max())
        assert float((found[name] - gradient).abs().max()) <= relative * scale, name
        moved += scale > 0
    assert moved > len(expected) / 2  # the rest was dropped, or is dead


def narrow_c3d() -> nn.Module:
    """C3D with a thirty-second of its channels: the same forward pass."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "aqa_cache.backbones.c3d._convolution",
            lambda inputs, outputs: nn.Conv3d(
                3 if inputs == 3 else inputs // 32, outputs // 32, 3, padding=1
            ),
        )
        module = BACKBONES["c3d"].build()
    for layer in module.children():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return module


@pytest.fixture(scope="module")
def backbones(random_s3d):
    """By name a backbone in float64, and four clips for it."""
    from safetensors.torch import load_file

    torch.manual_seed(0)
    s3d = BACKBONES["s3d"].build()
    s3d.load_state_dict(load_file(random_s3d))
    made = {"c3d": (narrow_c3d(), 48), "s3d": (s3d, 32)}
    for module, _ in made.values():
        prepare(module.double(), None)
    return {
        name: (module, torch.randn(CLIPS, 3, 16, size, size, dtype=torch.float64))
        for name, (module, size) in made.items()
    }


def recomputed(backbone, clips, chunk, **options) -> RecomputedFeatures:
    with torch.no_grad():
        dim = copy.deepcopy(backbone).eval()(clips[:1]).shape[1]
    return RecomputedFeatures(
        backbone, lambda start, stop: clips[start:stop], len(clips), chunk, dim, **options
    )


def step(backbone, heads, clips, chunk) -> dict[str, torch.Tensor]:
    """The gradient of everything in ours."""
    ours = recomputed(backbone, clips, chunk)
    features = ours.forward()
    loss_of(heads, features).backward()
    ours.backward(features.grad)
    return gradients(backbone, heads)


# S3D with the heads that differ most; every head with C3D, whose narrow copy is quick.
@pytest.mark.parametrize(
    "name, head, chunks",
    [
        *(("c3d", head, CHUNKS if head == "lstm" else (3,)) for head in HEADS),
        ("s3d", "average", CHUNKS),
        ("s3d", "lstm", (3,)),
        ("s3d", "attention", (3,)),
    ],
    ids=str,
)
def test_the_gradient_is_that_of_plain_backpropagation(backbones, name, head, chunks):
    backbone, clips = backbones[name]
    features = backbone(clips)
    heads = make_heads(features.shape[1], **HEADS[head])
    loss_of(heads, features).backward()
    plain = gradients(backbone, heads)
    for chunk in chunks:
        assert_equal(step(backbone, heads, clips, chunk), plain)


def test_the_features_are_a_leaf_equal_to_those_of_the_backbone(backbones):
    backbone, clips = backbones["s3d"]
    expected = backbone(clips).detach()
    for chunk in CHUNKS:
        features = recomputed(backbone, clips, chunk).forward()
        assert features.is_leaf and features.requires_grad and features.dtype == torch.float64
        torch.testing.assert_close(features.detach(), expected, rtol=1e-12, atol=0)


def test_a_batch_without_clips_has_no_features_and_no_gradient(backbones):
    backbone, clips = backbones["s3d"]
    ours = RecomputedFeatures(backbone, lambda start, stop: clips[start:stop], 0, 1, 1024)
    features = ours.forward()
    assert features.shape == (0, 1024) and features.requires_grad and features.dtype == torch.float64
    ours.backward(torch.zeros(0, 1024))
    assert all(parameter.grad is None for parameter in backbone.parameters())


def network(dropout=0.3, depth=0.5, norm=False) -> nn.Module:
    """A small network with whatever is random, or counts, in training."""
    torchvision = pytest.importorskip("torchvision")

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv3d(3, 6, 3, stride=2)
            self.norm = nn.BatchNorm3d(6) if norm else nn.Identity()
            self.second = nn.Conv3d(6, 6, 3, padding=1)
            self.depth = torchvision.ops.StochasticDepth(depth, "row")
            self.dropout = nn.Dropout(dropout)

        def forward(self, clips):
            x = self.norm(self.first(clips)).relu()
            return self.dropout((x + self.depth(self.second(x))).mean(dim=(2, 3, 4)))

    torch.manual_seed(0)
    return Deep().double().train()


def small_clips(number=CLIPS) -> torch.Tensor:
    return torch.randn(number, 3, 5, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def loss_over_clips(features: torch.Tensor) -> torch.Tensor:
    """Every clip's gradient depends on all clips."""
    return (
        (features.mean(0) ** 2).sum()
        + features.std(0).sum()
        + (features * torch.arange(features.shape[1])).sum()
    )


def plain_by_chunks(backbone, clips, chunk, seed) -> dict[str, torch.Tensor]:
    """Plain backpropagation through all chunks at once, each with the random numbers of its own seed."""
    features = []
    for number, part in enumerate(clips.split(chunk)):
        torch.manual_seed(chunk_seed(seed, number))
        features.append(backbone(part))
    loss_over_clips(torch.cat(features)).backward()
    return gradients(backbone)


def ours_by_chunks(backbone, clips, chunk, seed=0, **options) -> dict[str, torch.Tensor]:
    ours = recomputed(backbone, clips, chunk, seed=seed, **options)
    features = ours.forward()
    loss_over_clips(features).backward()
    ours.backward(features.grad)
    return gradients(backbone)


def small_mvit() -> nn.Module:
    mvit = importlib.import_module("torchvision.models.video.mvit")
    blocks = [
        mvit.MSBlockConfig(1, 8, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2]),
        mvit.MSBlockConfig(2, 8, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1]),
        mvit.MSBlockConfig(2, 16, 16, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 1, 1]),
    ]
    module = mvit.MViT((32, 32), 4, blocks, True, False, True, True, stochastic_depth_prob=0.8)
    module.head = nn.Identity()
    return module.double().train()


def small_swin() -> nn.Module:
    module = importlib.import_module("torchvision.models.video.swin_transformer").SwinTransformer3d(
        [2, 4, 4], 8, [2, 2], [1, 2], [2, 3, 3], stochastic_depth_prob=0.8, dropout=0.1
    )
    module.head = nn.Identity()
    return module.double().train()


@pytest.mark.parametrize(
    "make, size, chunks",
    [
        (network, (5, 5, 9, 9), (1, 2, 5)),
        (small_mvit, (3, 4, 32, 32), (1, 2)),
        (small_swin, (3, 4, 24, 24), (1, 2)),
    ],
)
def test_both_passes_see_the_same_dropout_and_stochastic_depth(make, size, chunks):
    torch.manual_seed(0)
    backbone = make()
    clips = torch.randn(size[0], 3, *size[1:], dtype=torch.float64)
    for chunk in chunks:
        assert_equal(
            ours_by_chunks(backbone, clips, chunk, seed=7), plain_by_chunks(backbone, clips, chunk, seed=7)
        )


def test_masks_are_drawn_anew_for_every_seed_and_chunk():
    backbone, clips = network(depth=0.0), small_clips(1).expand(4, -1, -1, -1, -1)
    seen = {seed: recomputed(backbone, clips, 1, seed=seed).forward() == 0 for seed in range(8)}
    assert len({tuple(masks[0].tolist()) for masks in seen.values()}) > 4
    assert any(not torch.equal(masks[0], masks[1]) for masks in seen.values())
    assert torch.equal(seen[3], recomputed(backbone, clips, 1, seed=3).forward() == 0)


def test_the_callers_random_numbers_are_left_alone():
    backbone, clips = network(), small_clips()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    ours_by_chunks(backbone, clips, 2)
    assert torch.equal(torch.rand(3), expected)


def test_frozen_statistics_are_untouched_and_the_weights_of_batch_norm_are_trained(backbones):
    backbone, clips = backbones["s3d"]
    before = copy.deepcopy(dict(backbone.named_buffers()))
    found = ours_by_chunks(backbone, clips[:2], 1)
    assert all(torch.equal(buffer, before[name]) for name, buffer in backbone.named_buffers())
    norms = [name for name, layer in backbone.named_modules() if isinstance(layer, nn.BatchNorm3d)]
    assert len(norms) > 50
    named = {name.partition(" ")[2]: gradient for name, gradient in found.items()}
    assert all(named[f"{name}.weight"].abs().max() > 0 for name in norms)


@pytest.mark.parametrize("chunk", [1, 2, CLIPS])
def test_statistics_of_chunks_are_those_of_plain_backpropagation_and_recorded_once(chunk):
    backbone, clips = network(norm=True), small_clips()
    prepare(backbone, None, "chunk")
    other = copy.deepcopy(backbone)
    expected = plain_by_chunks(other, clips, chunk, seed=7)
    assert_equal(ours_by_chunks(backbone, clips, chunk, seed=7), expected)
    assert backbone.norm.num_batches_tracked == len(clips.split(chunk)) and backbone.norm.track_running_stats
    for name, buffer in other.named_buffers():
        assert torch.equal(buffer, dict(backbone.named_buffers())[name]), name
    assert backbone.norm.running_mean.abs().max() > 0


def test_frozen_layers_keep_nothing_and_get_nothing(backbones):
    backbone, clips = copy.deepcopy(backbones["s3d"][0]), backbones["s3d"][1][:2]
    frozen = prepare(backbone, "features.9", "chunk")
    before = copy.deepcopy(backbone.state_dict())
    made = {}
    for name in (*frozen, "features.9"):
        backbone.get_submodule(name).register_forward_hook(
            lambda layer, inputs, output, name=name: made.setdefault(name, []).append(output.requires_grad)
        )
    ours = recomputed(backbone, clips, 1)
    made.clear()
    features = ours.forward()
    optimiser = torch.optim.AdamW(backbone.parameters(), lr=1e-2)
    features.square().sum().backward()
    ours.backward(features.grad)
    optimiser.step()
    assert frozen[-1] == "features.8" and all(not any(made[name]) for name in frozen)
    assert made["features.9"] == [False, True, True]  # of two chunks, the first twice
    for name, tensor in backbone.state_dict().items():
        if name.rpartition(".")[0].startswith(tuple(f"{layer}." for layer in frozen)):
            assert torch.equal(tensor, before[name]), name
    named = dict(backbone.named_parameters())
    for name, parameter in named.items():
        assert (
            (parameter.grad is None) == (not parameter.requires_grad) != parameter.ne(before[name]).any()
        ), name


def test_a_wholly_frozen_backbone_has_features_and_no_gradient():
    backbone, clips = network(), small_clips()
    backbone.requires_grad_(False)
    ours = recomputed(backbone, clips, 2)
    features = ours.forward()
    ours.backward(torch.ones_like(features))
    assert features.requires_grad and all(parameter.grad is None for parameter in backbone.parameters())


def test_gradients_are_added_to_those_that_are_there():
    backbone, clips = network(), small_clips()
    once = ours_by_chunks(backbone, clips, 2)
    for _ in range(2):
        ours = recomputed(backbone, clips, 2)
        features = ours.forward()
        loss_over_clips(features).backward()
        ours.backward(features.grad)
    assert_equal(gradients(backbone), {name: 2 * gradient for name, gradient in once.items()})


def test_a_scaled_gradient_gives_a_scaled_gradient():
    backbone, clips = network(), small_clips()
    once = ours_by_chunks(backbone, clips, 2)
    ours = recomputed(backbone, clips, 2)
    features = ours.forward()
    loss_over_clips(features).backward()
    ours.backward(features.grad * 1024)
    assert all(torch.equal(gradient, 1024 * once[name]) for name, gradient in gradients(backbone).items())


def test_under_autocast_both_passes_give_the_same_bits():
    backbone, clips = network().float(), small_clips().float()
    made = []
    backbone.register_forward_hook(lambda layer, inputs, output: made.append(output.detach()))
    found = ours_by_chunks(backbone, clips, 1, autocast=torch.bfloat16)
    first, again = made[1:CLIPS], made[CLIPS + 1 :]  # the very first is that of `recomputed`
    assert (
        len(first) == len(again) == CLIPS - 1
        and all(map(torch.equal, first, again))
        and made[0].abs().max() > 0
    )
    # Each convolution's output has been rounded to eight bits: this is no float32 gradient, and not far from
    # it.
    exact = ours_by_chunks(backbone, clips, 1)
    deviations = [float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact]
    assert 1e-4 < max(deviations) < 0.3
    assert all(gradient.dtype == torch.float32 for gradient in found.values())


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_autocast_around_changes_nothing(autocast):
    backbone, clips = network().float(), small_clips().float()

    def found():
        ours = recomputed(backbone, clips, 2, autocast=autocast)
        ours.backward(torch.ones_like(ours.forward()))
        return gradients(backbone)

    alone = found()
    with torch.autocast("cpu", torch.bfloat16):
        inside = found()
    assert all(torch.equal(gradient, inside[name]) for name, gradient in alone.items())


def watched(backbone) -> list[int]:
    """After each forward pass of the last convolution how many of its inputs, which the graph keeps, are
    still in memory.
    """
    inputs, alive = [], []

    def count(layer, given):
        inputs.append(StorageWeakRef(given[0].untyped_storage()))
        alive.append(sum(not reference.expired() for reference in inputs))

    backbone.second.register_forward_pre_hook(count)
    backbone.still_alive = lambda: sum(not reference.expired() for reference in inputs)
    return alive


def test_activations_of_one_chunk_are_in_memory_at_a_time_and_none_after_the_backward_pass():
    backbone, clips = network(), small_clips()
    ours = recomputed(backbone, clips, 1)
    alive = watched(backbone)
    features = ours.forward()
    assert backbone.still_alive() == 1  # the last chunk's graph
    ours.backward(torch.ones_like(features))
    assert alive == [1] * (2 * CLIPS - 1) and backbone.still_alive() == 0
    backbone(clips).sum()
    assert backbone.still_alive() == 0
    result = backbone(clips)
    assert backbone.still_alive() == 1, result  # plain backpropagation is seen to keep them


def test_the_last_graph_goes_with_the_object():
    backbone, clips = network(), small_clips()
    watched(backbone)
    ours = recomputed(backbone, clips, 2)
    ours.forward()
    ours.forward()
    assert backbone.still_alive() == 1
    del ours
    assert backbone.still_alive() == 0


def test_a_backbone_that_draws_elsewhere_is_refused():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.generator = nn.Linear(3, 4), np.random.default_rng(0)

        def forward(self, clips):
            return self.inner(clips.mean(dim=(2, 3, 4))) * float(self.generator.normal())

    ours = recomputed(Own().double(), small_clips(), 2)
    with pytest.raises(TrainingError, match="other features for the same clips .*--clip-chunk"):
        ours.backward(torch.ones_like(ours.forward()))


def test_each_backward_pass_has_its_own_forward_pass():
    ours = recomputed(network(), small_clips(), 2)
    features = ours.forward()
    ours.backward(torch.ones_like(features))
    with pytest.raises(AssertionError, match="forward.. comes before"):
        ours.backward(torch.ones_like(features))


@pytest.mark.gpu
def test_on_a_gpu_both_passes_see_the_same_masks_and_the_callers_numbers_are_left_alone(cuda):
    backbone, clips = network().to(cuda), small_clips().to(cuda)
    expected = plain_by_chunks(backbone, clips, 2, seed=7)
    torch.manual_seed(11)
    following = torch.rand(3, device=cuda)
    torch.manual_seed(11)
    assert_equal(ours_by_chunks(backbone, clips, 2, seed=7), expected)
    assert torch.equal(torch.rand(3, device=cuda), following)
    half = ours_by_chunks(backbone.float(), clips.float(), 2, seed=7, autocast=torch.float16)
    deviations = [float((half[name] - expected[name]).norm() / expected[name].norm()) for name in expected]
    assert 0 < max(deviations) < 0.1
