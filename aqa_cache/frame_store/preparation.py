"""Decoding a cache's clips, once, into the frame store that all epochs, runs and processes read."""

import contextlib
import glob
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

from ..annotations import Sample
from ..annotations_found import find_table
from ..cache_file.reader import FeatureCache
from ..clips.preprocess import Preprocessing
from ..clips.rule import ClipRule
from ..clips.views import PLAIN, View
from ..disk.atomic import check_target
from ..disk.locks import FileLock
from ..errors import AqaError, CacheError, VideoError, some
from ..video.decoding import DECODE_TIMEOUT
from ..video.mended import DECODING, why_mended
from ..video.opening import video_stamp
from ..video.outside import said_outside, videos_outside
from ..video.reader import VideoReader
from ..video.recognition import is_video
from .reader import FrameStore
from .writer import write_store

_log = logging.getLogger(__name__)


def prepare_frames(
    path: str | Path,
    cache: FeatureCache,
    videos: str | Path,
    views: Sequence[View],
    *,
    workers: int | None = None,
    decode_timeout: float = DECODE_TIMEOUT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """See to it that `path` holds the frames of all clips of a cache, as they are extracted from the videos
    as they are now.

    If it does, with these views or more, nothing is decoded. Of several processes that want the same store,
    one makes it and the others wait. Whoever reads an older store of this name keeps reading that one.

    Args:
        path: of the store.
        cache: names samples, clips and preprocessing; samples without features are left out.
        videos: what `aqa-extract` was given: a folder, or one video.
        views: of every sample, the plain one first.
        workers: decoding threads; None: as many as cores.
        decode_timeout: seconds without a new frame after which a video is given up.
        progress: called with the samples that are decoded and all there are.

    Raises:
        CacheError: the cache has no features, or does not say how its clips are made from video; or `path` is
            something else than a frame store.
        VideoError: videos are not there, or have changed since their features were extracted, or cannot be
            decoded now.
        AqaError: the store cannot be written, or the disk has no room for it.
    """
    assert views[0] == PLAIN, views
    path, videos = Path(path), Path(videos)
    check_target(path, "feats.frames")
    samples = _samples_of(cache)
    folder = _folder_of(videos)
    if outside := videos_outside(folder, (sample.video for sample, _ in samples)):
        _log.warning(f"{cache.path}: {said_outside(folder, outside)}.")
    stamps = _stamps_of(cache, samples, folder, videos)
    contents = {
        "clip_rule": cache.spec.clip_rule,
        "preprocessing": cache.spec.preprocessing,
        "views": [list(astuple(view)) for view in views],
        "samples": {
            sample.sample_id: {"video": sample.video, "first_frames": firsts} for sample, firsts in samples
        },
        "videos": {video: list(stamp) for video, stamp in stamps.items()},
        "decoding": DECODING,
    }
    if not _differences(path, contents, folder):
        return
    with _alone(path):
        if differences := _differences(path, contents, folder):
            if path.exists():
                _log.info(f"{path}: holds frames of other {', '.join(differences)}; they are decoded anew.")
            by_video: dict[str, dict[int, Sample]] = {}
            for index, (sample, _) in enumerate(samples):
                by_video.setdefault(sample.video, {})[index] = sample
            rule = replace(ClipRule.from_record(cache.spec.clip_rule), window=None)
            stream = cache.spec.stream
            shifted = list(dict.fromkeys(View(view.shift) for view in views))
            # Largest files first: what is left when threads run out of videos is then small.
            readers = [
                VideoReader(folder / video, by_video[video], rule, stream, shifted)
                for video in sorted(by_video, key=lambda video: -stamps[video][0])
            ]
            write_store(path, contents, readers, workers, decode_timeout, progress, videos)


def _samples_of(cache: FeatureCache) -> list[tuple[Sample, list[int]]]:
    """Every sample that has features, cut to what its clips take, and the first frames of its clips.

    Its clips tell where a sample begins and ends, also where the annotations leave that to the video or to a
    window.
    """
    try:
        rule = ClipRule.from_record(cache.spec.clip_rule)
        Preprocessing.from_record(cache.spec.preprocessing)
    except AqaError as error:
        raise CacheError(
            f"{cache.path}: does not say how its clips are made from video, as imported features do not"
            f" ({error}); training the backbone needs a cache made by aqa-extract"
        ) from None
    samples = []
    for index in (index for index in range(len(cache)) if cache.has_features(index)):
        sample, firsts = cache.samples[index], cache.record(index).views[0].first_frame.tolist()
        start = firsts[0] - (rule.clip_starts[0] if rule.clip_starts else 0)
        end = firsts[-1] + rule.clip_span
        if start < 0 or replace(rule, window=None).first_frames(start, end) != firsts:
            raise CacheError(
                f"{cache.path}: the clips of {sample.sample_id} begin at frames"
                f" {some(list(map(str, firsts)))}, which its clip rule does not give; extract again"
            )
        samples.append((replace(sample, start_frame=start, end_frame=end), firsts))
    if not samples:
        raise CacheError(
            f"{cache.path}: none of its {len(cache)} sample(s) has features; see: aqa-data show {cache.path}"
        )
    return samples


def _folder_of(videos: Path) -> Path:
    """What the names of videos are relative to: as in extraction, a single video, or folder of images, lies
    in that folder.
    """
    try:
        if not videos.exists():
            raise AqaError(f"{videos}: no such video or folder; give what aqa-extract was given")
        if not is_video(videos):
            return videos
        annotated = videos.is_dir() and find_table(videos, of_frames=True).path
        return videos if annotated else videos.parent
    except OSError as error:
        raise AqaError(f"{videos}: cannot be read ({error.strerror})") from None


def _stamps_of(
    cache: FeatureCache, samples: Sequence[tuple[Sample, list[int]]], folder: Path, videos: Path
) -> dict[str, tuple[int, int]]:
    """Size and time of every video, which must be there and as large as when it was extracted."""
    ids: dict[str, list[str]] = {}
    for sample, _ in samples:
        ids.setdefault(sample.video, []).append(sample.sample_id)
    stamps = {video: video_stamp(folder / video) for video in ids}
    missing = [video for video, stamp in stamps.items() if stamp == (0, 0)]
    if missing:
        raise VideoError(
            str(videos),
            f"{len(missing)} of the {len(stamps)} video(s) whose features are in {cache.path} are not there: "
            f"{_with_samples(missing, ids)}; give the folder that aqa-extract was given, with all its videos",
        )
    sizes = dict(zip((sample.sample_id for sample in cache.samples), cache.video_size.tolist(), strict=True))
    changed = [
        video
        for video in ids
        if any(sizes[sample_id] not in (0, stamps[video][0]) for sample_id in ids[video])
    ]
    if changed:
        raise VideoError(
            str(videos),
            f"{len(changed)} of the {len(stamps)} video(s) have another size than when the features in"
            f" {cache.path} were extracted: {_with_samples(changed, ids)}; put back the videos of then, or"
            " extract again",
        )
    return stamps


def _with_samples(videos: Sequence[str], ids: dict[str, list[str]]) -> str:
    """A few of the videos, each with a few of its samples."""
    return some([f"{video} (of {some(ids[video], 3)})" for video in videos], 3)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process at a time is in here, of all that want this store."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with lock.held(
        f"decodes frames into {path}",
        lambda error: AqaError(
            f"{path}: cannot be written ({error.strerror}); choose another place with --frames"
        ),
    ):
        if lock.effective:  # what is left of processes that were killed, and large
            for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
                temporary.unlink(missing_ok=True)
        yield


def _differences(path: Path, contents: dict, folder: Path) -> list[str]:
    """What of a store, in words, is not what it should be; everything if there is none.

    Frames of an earlier version of decoding are what they should be, unless a look at their videos shows what
    was wrong then.
    """
    if not path.exists():
        return list(contents)
    with FrameStore(path) as store:
        different = [
            name.replace("_", " ") for name in contents if store.contents.get(name) != contents[name]
        ]
        wanted = {View(*view) for view in contents["views"]}
        if "decoding" in different and not any(why_mended(folder / video) for video in contents["videos"]):
            different.remove("decoding")
        return [name for name in different if name != "views" or not wanted <= set(store.views)]
