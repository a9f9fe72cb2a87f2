"""Are a dataset's videos there, and are their frames the ones that were annotated?"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..annotations import Sample
from ..errors import VideoError

FRAME_RATE_TOLERANCE = 0.01  # above the rounding of a container's duration, below any other rate in use


@dataclass(frozen=True)
class VideoCheck:
    """What `check_videos` found.

    Args:
        samples: the samples, with the names under which their videos really lie there.
        notes: one line each: what was taken otherwise than named, and what could not be checked.
        missing: one line for each video that is not there.
        unfit: one line for each reason why a video that is there cannot be used as it is.
    """

    samples: list[Sample]
    notes: list[str]
    missing: list[str]
    unfit: list[str]


def check_videos(
    samples: Iterable[Sample], folder: str | Path, frame_rate: float, links: dict[str, str] | None = None
) -> VideoCheck:
    """Look for the samples' videos, and check their frame rate and length.

    '01.mp4' may also lie there as another kind of file (01.mkv), as a folder of frames (01/000001.jpg), or
    without leading zeros (1.mp4); upper and lower case are the same.

    Args:
        samples: with `end_frame`, which the video must reach.
        folder: the folder of videos.
        frame_rate: in frames per second, at which the frames were numbered.
        links: where a video can be had, by the `group` of its samples.
    """
    from ..video.probing import probe

    samples, folder, links = list(samples), Path(folder), links or {}
    names, notes, missing, unfit, renamed, rate_unknown = {}, [], [], [], [], []
    for name, group in {sample.video: sample.group for sample in samples}.items():
        found, *others = _find(folder, name) or [None]
        if found is None:
            missing.append(name + (f"  {links[group]}" if group in links else ""))
            continue
        names[name] = found
        if found != name:
            unused = f", not {' or '.join(others)}" if others else ""
            renamed.append(f"{found} (for {name}{unused})")
        try:
            info = probe(folder / found)
        except VideoError as error:
            unfit.append(str(error))
            continue
        if info.frame_rate is None:
            rate_unknown.append(found)
        elif abs(info.frame_rate - frame_rate) > FRAME_RATE_TOLERANCE:
            unfit.append(
                f"{found}: has {info.frame_rate:.6g} frames per second, expected {frame_rate:g}, so the"
                f" annotated frame numbers would show other moments; get the video at {frame_rate:g}, or"
                f" convert it: ffmpeg -i IN -r {frame_rate:g} OUT"
            )
        if beyond := [s for s in samples if s.video == name and s.end_frame > info.frames]:
            last = max(beyond, key=lambda sample: sample.end_frame)
            unfit.append(
                f"{found}: has {info.frames} frames, but {len(beyond)} of its samples end later, the last"
                f" ({last.sample_id}: frames [{last.start_frame}, {last.end_frame})); it is cut short or"
                " another recording, get it again"
            )
    if renamed:
        notes.append(f"The column video gives the names found in {folder}: {', '.join(renamed)}.")
    if rate_unknown:
        notes.append(
            f"Frame folders have no frame rate to check: {', '.join(rate_unknown)}; their frames must have"
            f" been taken at {frame_rate:g} per second."
        )
    return VideoCheck([replace(s, video=names.get(s.video, s.video)) for s in samples], notes, missing, unfit)


def _find(folder: Path, name: str) -> list[str]:
    """The names, relative to `folder`, under which a video lies there, the best first."""
    from ..video.recognition import VIDEO_SUFFIXES, is_video

    if (folder / name).exists():
        return [name]
    path = PurePosixPath(name)
    place = folder / path.parent
    stem = path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
    stems = [stem.lower(), stem.lower().lstrip("0")]
    found = []
    for entry in place.iterdir() if place.is_dir() else ():
        key = (entry.name if entry.is_dir() else entry.stem).lower()
        if key in stems and is_video(entry):
            found.append((stems.index(key), entry.is_dir(), entry.name))
    return [(path.parent / name).as_posix() for _, _, name in sorted(found)]
