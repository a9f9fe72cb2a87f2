"""The law of media that are not whole: frames that come show their numbers, and what is missing is said."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numbered_video import image_number, number_image

from aqa_cache.errors import VideoError
from aqa_cache.video.decoding import decode

# Suffix, codec of the pictures, codec of the sound, options of the container.
KINDS = {
    "MP4, H.264": (".mp4", "libx264", "aac", {}),
    "MP4 with its index first, H.264": (".mp4", "libx264", "aac", {"movflags": "faststart"}),
    "fragmented MP4, H.264": (".mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "MP4, HEVC": (".mp4", "libx265", "aac", {"movflags": "faststart"}),
    "MP4, MPEG-4": (".mp4", "mpeg4", "aac", {"movflags": "faststart"}),
    "MOV, MJPEG": (".mov", "mjpeg", "aac", {"movflags": "faststart"}),
    "Matroska, H.264": (".mkv", "libx264", "aac", {}),
    "Matroska, MPEG-4": (".mkv", "mpeg4", "aac", {}),
    "WebM, VP8": (".webm", "libvpx", "libopus", {}),
    "WebM, VP9": (".webm", "libvpx-vp9", "libopus", {}),
    "AVI, H.264": (".avi", "libx264", "mp2", {}),
    "AVI, MPEG-4": (".avi", "mpeg4", "mp2", {}),
    "AVI, MJPEG": (".avi", "mjpeg", "mp2", {}),
    "FLV, H.264": (".flv", "libx264", "aac", {}),
    "FLV, FLV1": (".flv", "flv", "aac", {}),
    "WMV, WMV2": (".wmv", "wmv2", "wmav2", {}),
    "MPEG-TS, H.264": (".ts", "libx264", "aac", {}),
    "MPEG-TS, MPEG-2": (".ts", "mpeg2video", "mp2", {}),
}
_OPTIONS = {
    "libx264": {"preset": "ultrafast", "bf": "2", "g": "20"},
    "libx265": {"preset": "ultrafast", "g": "20", "x265-params": "log-level=none"},
    "libvpx": {"deadline": "realtime", "g": "20", "auto-alt-ref": "0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": "20"},
    "mpeg4": {"g": "20"},
    "mpeg2video": {"g": "15", "bf": "2"},
}
_RATE, _SOUND_RATE = 25, 48000


def write_media(path: Path, kind: str, frames: int, sound: bool, grain: int = 20) -> Path:
    """Write a 64x64 video of a kind, frame n showing `number_image(n)`; the suffix is added to the path."""
    import av

    suffix, codec, sound_codec, container = KINDS[kind]
    path, rng = path.with_suffix(suffix), np.random.default_rng(0)
    with av.open(str(path), "w", options=container) as output:
        stream = output.add_stream(codec, rate=_RATE, options=_OPTIONS.get(codec, {"g": "20"}))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec not in ("libx264", "libx265"):
            stream.bit_rate = 2_000_000
        tone = output.add_stream(sound_codec, rate=_SOUND_RATE, layout="mono") if sound else None
        if tone:
            tone.bit_rate = 64_000
        heard, resampler = 0, av.AudioResampler(tone.format, "mono", _SOUND_RATE) if tone else None
        for number in range(frames):
            image = number_image(number).astype(int) + rng.integers(-grain, grain + 1, (64, 64, 3))
            picture = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), format="rgb24")
            output.mux(stream.encode(picture))
            while tone and heard < (number + 1) * _SOUND_RATE // _RATE:
                noise = rng.normal(0, 0.1, (1, 1024)).astype(np.float32)
                part = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
                part.sample_rate, part.pts, part.time_base = _SOUND_RATE, heard, Fraction(1, _SOUND_RATE)
                for piece in resampler.resample(part):
                    output.mux(tone.encode(piece))
                heard += 1024
        output.mux(stream.encode(None))
        if tone:
            output.mux(tone.encode(None))
    return path


@dataclass(frozen=True)
class Outcome:
    """What decoding a file gave.

    Args:
        frames: how many came.
        wrong: how many of them do not show their number.
        message: of the error after them; empty if there was none.
    """

    frames: int
    wrong: int
    message: str

    def holds(self, whole: int) -> bool:
        """The law, for a file that had so many frames when it was whole."""
        return not self.wrong and (bool(self.message) or self.frames == whole)


def outcome(path: Path, **options) -> Outcome:
    frames = wrong = 0
    try:
        for frame in decode(path, **options):
            frames += 1
            wrong += image_number(frame.rgb()) != frame.index
    except VideoError as error:
        return Outcome(frames, wrong, str(error))
    return Outcome(frames, wrong, "")


def cut(path: Path, part: float) -> Path:
    """A copy of the first part of a file."""
    data = path.read_bytes()
    shorter = path.with_stem("cut")
    shorter.write_bytes(data[: int(part * len(data))])
    return shorter


def remux(source: Path, target: Path, change) -> Path:
    """Copy a video's packets, after `change(number, bytes)` had a look at each; it returns the new bytes, or
    None for no packet.
    """
    import av

    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        video = container.streams.video[0]
        stream = output.add_stream_from_template(video)
        for number, packet in enumerate(packet for packet in container.demux(video) if packet.size):
            data = change(number, bytes(packet))
            if data is not None:
                copy = av.Packet(data)
                copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
                copy.pts, copy.dts = packet.pts, packet.dts
                output.mux(copy)
    return target


def without_bytes(path: Path, part: float, count: int = 1500) -> Path:
    """A copy from which some bytes are lost."""
    data = path.read_bytes()
    place, lossy = int(part * len(data)), path.with_stem("lossy")
    lossy.write_bytes(data[:place] + data[place + count :])
    return lossy
