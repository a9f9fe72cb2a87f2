"""How long an end-to-end run would take here, before it begins."""

import time

from ..configuration import TrainingConfig
from ..errors import TrainingError
from .fine_tuner import FineTuner
from .frame_views import FrameViews

MAX_CPU_DAYS = 2.0
_DAY = 24 * 3600
# Of the time of a training clip: no way back, and layers laid out for inference.
_EVALUATED = 0.25


def check_duration(tuner: FineTuner, frames: FrameViews, config: TrainingConfig, epochs: int, evaluated: int) -> None:
    """Refuse what would take days on a CPU: it is meant for a GPU, and a person should know before they wait.

    Two chunks of one sample are really forwarded and sent back; no weight and no statistic changes.

    Args:
        frames: of the training samples.
        epochs: still to come, at most.
        evaluated: clips that are evaluated after each epoch.

    Raises:
        TrainingError: with the estimate.
    """
    clips = sum(map(frames.clip_count, range(len(frames))))
    # Two chunks: the graph of the last is kept, so one alone would not show the second pass.
    tried = [(0, 0, clip) for clip in range(min(2 * tuner.chunk, frames.clip_count(0)))]
    statistics = [buffer.clone() for buffer in tuner.backbone.buffers()]
    for _ in range(2):  # the first time is slower, as memory is fetched and kernels are chosen
        started = time.perf_counter()
        features = tuner.recomputed(frames, tried)
        leaf = features.forward()
        features.backward(leaf.detach() * 0)
        seconds = (time.perf_counter() - started) / len(tried)
    tuner.forget_gradients()
    for buffer, before in zip(tuner.backbone.buffers(), statistics, strict=True):
        buffer.copy_(before)
    total = epochs * seconds * (clips + _EVALUATED * evaluated) / tuner.processes.count
    if total > MAX_CPU_DAYS * _DAY:
        raise TrainingError(
            f"on this CPU, {epochs} epochs of {clips:,} clips would take about {total / _DAY:.1f} days ({1 / seconds:.2f} clips a second; "
            f"more than {MAX_CPU_DAYS:g} days are not begun). Use a GPU, fewer --epochs, a later --freeze-until, or cached features, which "
            "take minutes"
        )
