"""Decoding a few short samples of a long broadcast: every frame, against jumping over what no sample needs;
into RESULTS.md.

python benchmarks/bench_seeking.py --minutes 30 --samples 20
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from results import write_section

from aqa_cache.extraction.measuring.video import VIDEO_FRAMES, VIDEO_RATE, write_video
from aqa_cache.logs import handled
from aqa_cache.video.decoding import decode
from aqa_cache.video.probing import probe

WINDOW = 103  # frames of an MTL-AQA sample


def write_broadcast(path: Path, minutes: float) -> tuple[int, int]:
    """Repeat the packets of a short generated video until they are a broadcast; returns its frames and
    keyframes.
    """
    import av

    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.mp4"
        write_video(part)
        repeats = max(2, round(minutes * 60 * VIDEO_RATE / VIDEO_FRAMES))
        with av.open(str(part)) as container, av.open(str(path), "w") as output:
            source = container.streams.video[0]
            stream = output.add_stream_from_template(source)
            packets = [packet for packet in container.demux(source) if packet.size]
            length = round(VIDEO_FRAMES / VIDEO_RATE / source.time_base)
            for repeat in range(repeats):
                for packet in packets:
                    copy = av.Packet(bytes(packet))
                    copy.stream, copy.time_base, copy.is_keyframe = (
                        stream,
                        packet.time_base,
                        packet.is_keyframe,
                    )
                    copy.pts, copy.dts = packet.pts + repeat * length, packet.dts + repeat * length
                    output.mux(copy)
    return repeats * VIDEO_FRAMES, repeats * sum(packet.is_keyframe for packet in packets)


def sample_ranges(frames: int, samples: int) -> list[tuple[int, int | None]]:
    """One sample at a random place in each of `samples` equal parts of the video."""
    rng, part = random.Random(0), frames // samples
    starts = [number * part + rng.randrange(part - WINDOW) for number in range(samples)]
    return [(start, start + WINDOW) for start in starts]


def read(path: Path, ranges: list[tuple[int, int | None]], jump: bool) -> tuple[float, list[bytes]]:
    """Seconds that it takes to have all wanted frames as RGB, and a piece of each of them."""
    wanted = {number for start, end in ranges for number in range(start, end)}
    said: list[str] = []
    started = time.perf_counter()
    with handled(lambda record: said.append(record.getMessage())):
        pieces = [
            frame.rgb()[::45].tobytes()
            for frame in decode(path, wanted=ranges if jump else [(0, ranges[-1][1])])
            if frame.index in wanted
        ]
    assert not said, said
    return time.perf_counter() - started, pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the broadcast")
    parser.add_argument("--samples", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broadcast.mp4"
        frames, keyframes = write_broadcast(path, options.minutes)
        if frames // options.samples <= WINDOW:
            parser.error(f"{options.samples} samples of {WINDOW} frames do not fit into {frames} frames")
        ranges = sample_ranges(frames, options.samples)
        read(path, ranges[:1], jump=True)
        every, pieces = read(path, ranges, jump=False)
        jumping, jumped_pieces = read(path, ranges, jump=True)
        assert jumped_pieces == pieces
        started = time.perf_counter()
        assert probe(path).frames == frames
        demux = time.perf_counter() - started
        size = path.stat().st_size / 2**20
    lines = [
        (
            f"640x360 H.264, {frames} frames ({size:.0f} MiB), {keyframes} keyframes; {options.samples}"
            f" samples of {WINDOW} frames ({options.samples * WINDOW / frames:.1%} of it), one thread, wanted"
            " frames as RGB. The same pixels both ways."
        ),
        "",
        "| way | seconds | of decoding every frame |",
        "|---|---|---|",
        f"| every frame up to the last sample | {every:.2f} | 1.00 |",
        f"| jumping over what no sample needs | {jumping:.2f} | {jumping / every:.3f} |",
        f"| of that, the pass over the packets, alone | {demux:.2f} | {demux / every:.3f} |",
    ]
    command = f"python benchmarks/bench_seeking.py --minutes {options.minutes:g} --samples {options.samples}"
    write_section("seeking", "Decoding a few samples of a broadcast", command, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
