"""What is known of a video before it is decoded: how many frames, their rate and size."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import VideoError
from .decoding import decode
from .frame_folder import list_images, read_image
from .frame_index import Doubtful, index_frames
from .opening import opened
from .packets import promised_frames, read_packets


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before anything is decoded.

    Args:
        frames: counted from the packets of the stream, or the images of the folder; not taken from the
            header.
        frame_rate: average, in frames per second; None where the source has no times.
        width, height: in pixels; of a video as stored, of a folder its first image's as shown.
    """

    frames: int
    frame_rate: float | None
    width: int
    height: int


def probe(path: str | Path, stream: int | None = None) -> VideoInfo:
    """Count a video's frames and read its size.

    Frames are counted from packets, without decoding; where those do not tell (see `frame_index`), the video
    is decoded.

    Args:
        path: a video file or a folder of images.
        stream: index of the video stream; None takes the best one.

    Raises:
        VideoError: missing, unreadable, without a video stream or a frame, or, where it had to be decoded,
            damaged.
    """
    path = Path(path)
    if path.is_dir():
        images = list_images(path)
        height, width = read_image(images[0]).shape[:2]
        return VideoInfo(len(images), None, width, height)
    with opened(path, stream) as (container, video):
        rate = float(video.average_rate) if video.average_rate else None
        width, height = video.codec_context.width, video.codec_context.height
        try:
            frames = len(index_frames(read_packets(path, container, video), video).times)
        except Doubtful:
            frames = sum(1 for _ in decode(path, stream))
        return VideoInfo(frames, rate, width, height)


def expected_frames(path: str | Path, stream: int | None = None) -> int:
    """How many frames the header promises, 0 if it is silent or the video cannot be opened. For progress bars
    only.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return len(list_images(path))
        with opened(path, stream) as (container, video):
            return promised_frames(container, video)[0] or 0
    except VideoError:
        return 0
