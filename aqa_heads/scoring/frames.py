"""Which frames of a video are scored, and what a person should know of them."""

from collections.abc import Sequence

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.record import ClipFeatures

from .learned_from import Frames
from .trained import Trained

_OTHER_RATE = 0.02  # relative


def frames_of(sample: Sample, clips: ClipFeatures, spec: FeatureSpec | None) -> tuple[int, int] | None:
    """What the clips are of; those annotated where that is not known, as for imported features; None where
    there are none.
    """
    span = None if spec is None else spec.row_span
    if span is None or clips.first_frame[0] < 0:
        if sample.start_frame is None or sample.end_frame is None:
            return None
        return sample.start_frame, sample.end_frame
    return int(clips.first_frame[0]), int(clips.first_frame[-1]) + span


def length_note(runs: Sequence[Trained], frames: Frames | None, whole: bool = False) -> list[str]:
    """What is to be said of a sample that is shorter or longer than every training sample, or of which the
    run's clips leave the begin out.

    Args:
        whole: whether it is a whole video, neither start nor end were given.
    """
    elsewhere = "give --start and --end, or look for it with --every 2s"
    if whole and frames is not None and frames[0] > 0:
        mine = frames[1] - frames[0]
        return [f"only its last {mine:.0f} frames are scored; if the action is not there, {elsewhere}"]
    lengths = [length for run in runs for length in run.lengths]
    if frames is None or not lengths:
        return []
    mine, shortest, longest = frames[1] - frames[0], min(lengths), max(lengths)
    if shortest <= mine <= longest:
        return []
    usual = f"{shortest:.0f} each" if shortest == longest else f"{shortest:.0f} to {longest:.0f}"
    return [
        f"{mine:.0f} frames are scored; the training samples have {usual}"
        + (f": if the action is a part of the video, {elsewhere}" if mine > longest else "")
    ]


def rate_note(clips: ClipFeatures, then: float | None) -> list[str]:
    """What is to be said where frames come faster or slower than in training.

    Args:
        then: frames a second of the training videos; None: not known.
    """
    seconds = float(clips.pts_seconds[-1] - clips.pts_seconds[0])
    if not seconds > 0 or not then:
        return []
    now = float(clips.first_frame[-1] - clips.first_frame[0]) / seconds
    if abs(now / then - 1) <= _OTHER_RATE:
        return []
    return [
        f"has {_short(now)} frames a second, the training videos {_short(then)}: a clip shows"
        f" {_short(then / now)} times"
        " as much time, which the model has not learned from"
    ]


def _short(value: float) -> str:
    """
    >>> _short(1000.0), _short(29.97), _short(0.025)
    ('1000', '30', '0.025')
    """
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
