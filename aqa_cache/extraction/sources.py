"""Which samples to extract: from an annotations table, or one whole video each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..annotations import FILE_NAME, Sample, read_annotations
from ..errors import AqaError
from ..video.decoding import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_video


@dataclass(frozen=True)
class Source:
    """Samples and the folder their `video` columns are relative to.

    Args:
        annotations: the table they come from; None where every video is one sample.
    """

    folder: Path
    samples: list[Sample]
    annotations: Path | None

    def path(self, sample: Sample) -> Path:
        return self.folder / sample.video


def find_samples(videos: str | Path, annotations: str | Path | None = None) -> Source:
    """Find the samples of a folder of videos, of a folder of frame folders, or of one video.

    Args:
        videos: a video file, a folder of images, or a folder that holds either, at any depth.
        annotations: an annotations table; None looks for `annotations.csv` in the folder, and without one
            every video is a sample named after its path.

    Raises:
        AqaError: nothing there, or the table cannot be used.
    """
    videos = Path(videos)
    if not videos.exists():
        raise AqaError(f"{videos}: no such video or folder")
    try:
        single = is_video(videos) and not (videos / FILE_NAME).is_file()
    except OSError as error:
        raise AqaError(f"{videos}: cannot be read ({error.strerror})") from None
    if videos.is_file() and not single:
        raise AqaError(f"{videos}: is not known as a video by its name; expected {_known(VIDEO_SUFFIXES)}")
    folder = videos.parent if single else videos
    table = Path(annotations) if annotations else folder / FILE_NAME
    if annotations or (not single and table.is_file()):
        samples = read_annotations(table)
        if single:
            samples = [sample for sample in samples if folder / sample.video == videos]
            if not samples:
                raise AqaError(
                    f"{table}: has no sample of {videos.name}; its column 'video' must name the file"
                )
        return Source(folder, samples, table)
    found = [videos] if single else _videos_below(folder)
    if not found:
        raise AqaError(
            f"{videos}: holds no videos; expected files ending in {_known(VIDEO_SUFFIXES)}, or folders of"
            f" images ({_known(IMAGE_SUFFIXES)})"
        )
    names = [path.relative_to(folder).as_posix() for path in found]
    stems = [
        name if path.is_dir() else name.rsplit(".", 1)[0] for name, path in zip(names, found, strict=True)
    ]
    ids = [stem if stems.count(stem) == 1 else name for stem, name in zip(stems, names, strict=True)]
    return Source(folder, [Sample(sample_id, name) for sample_id, name in zip(ids, names, strict=True)], None)


def _videos_below(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if is_video(path):
            found.append(path)
        elif path.is_dir():
            found.extend(_videos_below(path))
    return found


def _known(suffixes: Sequence[str]) -> str:
    return " ".join(sorted(suffixes))
