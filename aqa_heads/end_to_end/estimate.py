"""How long an end-to-end run would take here, before anything is decoded or trained."""

import time
from collections.abc import Callable

import torch

from ..data.training_data import TrainingData
from ..errors import TrainingError
from ..settings.resolved import ResolvedConfig
from ..training.losses import multitask_loss
from .fine_tuner import FineTuner

MAX_CPU_DAYS = 2.0
_DAY = 24 * 3600
# Of the time of a training clip: no way back, and layers laid out for inference.
_EVALUATED = 0.25


def check_duration(
    tuner: FineTuner, data: TrainingData, config: ResolvedConfig, epochs: int, clip_len: int, size: int
) -> None:
    """Refuse what would take days on a CPU: it is meant for a GPU, and a person should know before they wait.

    Black clips are really forwarded and sent back, and cached features through the heads; no weight and no
    statistic changes.

    Args:
        data: with the features of the cache, on the model's device.
        epochs: still to come, at most.
        clip_len, size: of a clip, in frames and pixels.

    Raises:
        TrainingError: with the estimate.
    """
    labelled = data.train.labelled
    trained = sum(len(data.train.clips[index]) for index in labelled)
    evaluated = sum(map(len, (data.val if len(data.val) else data.test).clips))
    # Two chunks: the graph of the last is kept, so one alone would not show the second pass.
    tried = 2 * tuner.chunk
    backbone = _seconds(lambda: _try_backbone(tuner, tried, clip_len, size)) / tried
    heads = _seconds(lambda: _try_heads(tuner, data, labelled[: config.batch_size]))
    steps = -(-len(labelled) // config.batch_size)
    epoch = backbone * (trained + _EVALUATED * evaluated) / tuner.processes.count + heads * steps
    if epochs * epoch > MAX_CPU_DAYS * _DAY:
        raise TrainingError(
            f"on this CPU, {epochs} epochs of {trained:,} clips would take about {epochs * epoch / _DAY:.1f}"
            f" days ({trained / epoch:.2f} clips a second; more than {MAX_CPU_DAYS:g} days are not begun)."
            " Use a GPU, fewer --epochs, a later --freeze-until, or cached features, which take minutes"
        )


def _try_backbone(tuner: FineTuner, clips: int, clip_len: int, size: int) -> None:
    def black(start: int, stop: int) -> torch.Tensor:
        return torch.zeros(stop - start, 3, clip_len, size, size)

    statistics = [buffer.clone() for buffer in tuner.backbone.buffers()]
    features = tuner.recomputed(black, clips)
    leaf = features.forward()
    features.backward(leaf.detach() * 0)
    tuner.forget_gradients()
    for buffer, before in zip(tuner.backbone.buffers(), statistics, strict=True):
        buffer.copy_(before)


def _try_heads(tuner: FineTuner, data: TrainingData, indices: list[int]) -> None:
    tuner.model.eval()  # an encoder that trains itself in its backward pass is not to do so now
    loss = multitask_loss(tuner.model, data.train.batch(indices)).total
    if loss is not None:
        loss.backward()
    tuner.forget_gradients()


def _seconds(act: Callable[[], None]) -> float:
    """How long `act` takes the second time; the first is slower: memory is allocated, kernels are chosen."""
    act()
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
