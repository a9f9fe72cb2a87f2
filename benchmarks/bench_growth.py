"""What must stay flat or grow in a straight line, each size in a process of its own, into RESULTS.md.

    python benchmarks/bench_growth.py
    python benchmarks/bench_growth.py --only start,resume --finished 1000

- videos: peak memory and seconds a video over the number of videos; memory must be flat, time linear.
- hours: peak memory of one long video, as one sample and as 100 samples; one sample holds no more than 100.
- start: seconds from the start of the process to the first features.
- resume: seconds until `extract` returns where all samples are finished.

Frames are small and weights random: neither changes what grows.
"""

import argparse
import csv
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import write_section

from aqa_cache.annotations import FILE_NAME

FRAME_RATE, VIDEO_CLIPS, RESUME_CLIPS, RESUME_VIDEOS, LONG_SAMPLES, SHORTER, CLIP_LEN = (
    25,
    2,
    6,
    10,
    100,
    60,
    16,
)


def main() -> None:
    rows = {"videos": bench_videos, "hours": bench_hours, "start": bench_start, "resume": bench_resume}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(rows), help="any of them, separated by commas")
    parser.add_argument("--backbone", default="s3d")
    parser.add_argument(
        "--size",
        type=int,
        default=32,
        help="side of the frames in pixels; the start is at the backbone's own",
    )
    parser.add_argument("--videos", default="10,100,1000", help="numbers of short videos")
    parser.add_argument("--hours", type=float, default=3.0, help="length of the long video")
    parser.add_argument("--starts", type=int, default=5, help="times the start is measured")
    parser.add_argument("--finished", type=int, default=100_000, help="samples that are finished already")
    parser.add_argument("--scratch", help="folder for videos and caches; by default the system's")
    parser.add_argument("--process", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        return print(json.dumps(measure(**json.loads(options.process))))
    asked = options.only.split(",")
    if unknown := set(asked) - rows.keys():
        raise SystemExit(f"--only: unknown {', '.join(sorted(unknown))}; expected any of {', '.join(rows)}")
    with tempfile.TemporaryDirectory(prefix="bench-growth-", dir=options.scratch) as folder:
        for name in asked:
            title, arguments, lines = rows[name](Path(folder), options)
            command = (
                f"python benchmarks/bench_growth.py --only {name} --backbone {options.backbone} {arguments}"
            )
            write_section(f"growth {name}", title, command, lines)


def bench_videos(folder: Path, options: argparse.Namespace) -> tuple[str, str, list[str]]:
    lines = [
        f"Videos of {VIDEO_CLIPS} clips, 64x64. Seconds a video are those after the model was loaded.",
        "",
        "| videos | seconds a video | total seconds | peak memory | cache |",
        "|---|---|---|---|---|",
    ]
    for count in map(int, options.videos.split(",")):
        videos = folder / f"videos-{count}"
        videos.mkdir()
        first = write_small_video(videos / "000000.mp4", VIDEO_CLIPS * CLIP_LEN)
        for number in range(1, count):
            (videos / f"{number:06d}.mp4").hardlink_to(first)
        output = folder / f"videos-{count}.h5"
        row = in_process(videos, output, options)
        lines.append(
            f"| {count:,} | {row['seconds'] / count:.3f} | {row['total_seconds']:.1f} |"
            f" {mib(row['peak_memory'])} | {mib(output.stat().st_size)} |"
        )
        print(lines[-1], flush=True)
    return "Growth: number of videos", f"--size {options.size} --videos {options.videos}", lines


def bench_hours(folder: Path, options: argparse.Namespace) -> tuple[str, str, list[str]]:
    frames = round(options.hours * 3600 * FRAME_RATE)
    lines = [
        (
            f"One video of {options.hours:g} hours ({frames:,} frames of 64x64 at {FRAME_RATE} a second), and"
            " its first part, decoded once."
        ),
        "",
        "| frames | samples | clips | frames a second | total seconds | peak memory | features |",
        "|---|---|---|---|---|---|---|",
    ]
    videos = folder / "long"
    videos.mkdir()
    write_small_video(videos / "long.mp4", frames)
    whole = frames
    for frames, count in ((whole // SHORTER, 1), (whole, 1), (whole, LONG_SAMPLES)):
        length = frames // count
        write_annotations(
            videos, (("long.mp4", number * length, (number + 1) * length) for number in range(count))
        )
        row = in_process(videos, folder / f"long-{frames}-{count}.h5", options)
        lines.append(
            f"| {frames:,} | {count} | {row['clips']:,} | {frames / row['seconds']:.0f} |"
            f" {row['total_seconds']:.1f} | {mib(row['peak_memory'])} | {mib(row['clips'] * row['dim'] * 4)}"
            " in float32 |"
        )
        print(lines[-1], flush=True)
    return "Growth: length of a video", f"--size {options.size} --hours {options.hours:g}", lines


def bench_start(folder: Path, options: argparse.Namespace) -> tuple[str, str, list[str]]:
    videos = folder / "start"
    videos.mkdir()
    write_small_video(videos / "000.mp4", 8 * CLIP_LEN)
    measured = []
    for number in range(options.starts):
        output = folder / f"start-{number}.h5"
        if measured:  # random weights are made once, as published ones are downloaded once
            random_weights(output, options.backbone).hardlink_to(
                random_weights(folder / "start-0.h5", options.backbone)
            )
        measured.append(in_process(videos, output, options, size=None)["first_features_seconds"])
        print(f"start: {measured[-1]:.2f} s", flush=True)
    again = measured[1:] or measured
    lines = [
        (
            "From the start of the process to the features of the first batch, on the CPU, Python and"
            " libraries included."
        ),
        "",
        "| first start, random weights made | later starts, median | fastest | slowest |",
        "|---|---|---|---|",
        (
            f"| {measured[0]:.2f} s | {statistics.median(again):.2f} s | {min(again):.2f} s |"
            f" {max(again):.2f} s |"
        ),
    ]
    return "Start", f"--starts {options.starts}", lines


def bench_resume(folder: Path, options: argparse.Namespace) -> tuple[str, str, list[str]]:
    videos, output = folder / "resume", folder / "resume.h5"
    videos.mkdir()
    first = write_small_video(videos / "000.mp4", RESUME_CLIPS * CLIP_LEN)
    for number in range(1, RESUME_VIDEOS):
        (videos / f"{number:03d}.mp4").hardlink_to(first)
    in_process(videos, output, options)
    multiply(videos, output, options.finished)
    before = output.stat().st_size
    row = in_process(videos, output, options)
    if row["reused"] != options.finished or row["clips"]:
        raise SystemExit(
            f"{row['reused']} of {options.finished} samples were reused, {row['clips']} clips made anew"
        )
    scan = row["total_seconds"] - row["model_seconds"]
    lines = [
        (
            f"A finished cache of {options.finished:,} samples of {RESUME_CLIPS} clips ({mib(before)}), asked"
            " for once more: every sample is checked against its annotations and its video."
        ),
        "",
        "| samples | seconds until `extract` returns | without loading the model | a sample | peak memory |",
        "|---|---|---|---|---|",
        (
            f"| {options.finished:,} | {row['total_seconds']:.1f} | {scan:.1f} |"
            f" {1e6 * scan / options.finished:.0f} µs | {mib(row['peak_memory'])} |"
        ),
    ]
    return "Resume", f"--size {options.size} --finished {options.finished}", lines


def multiply(videos: Path, output: Path, count: int) -> None:
    """Turn a cache into one of `count` samples, each a copy of one that is in it, and its annotations
    likewise.

    It is written from real records, so that all that a resumed extraction looks at is as an extraction leaves
    it.
    """
    from aqa_cache.cache_file.reader import FeatureCache
    from aqa_cache.cache_file.writer import write_cache

    with FeatureCache(output) as cache:
        originals = cache.records()
        samples = [
            dataclasses.replace(originals[number % len(originals)].sample, sample_id=f"{number:06d}")
            for number in range(count)
        ]
        records = [
            dataclasses.replace(originals[number % len(originals)], sample=sample)
            for number, sample in enumerate(samples)
        ]
        meaning, numerics, views = cache.meaning, cache.numerics, cache.views
        larger = output.with_suffix(".larger")
        write_cache(larger, records, meaning, views=views, numerics=numerics)
    larger.replace(output)
    write_annotations(videos, ((sample.video, "", "") for sample in samples))


def in_process(videos: Path, output: Path, options: argparse.Namespace, **changes) -> dict:
    """What `measure` returns in a fresh process."""
    arguments = {
        "videos": str(videos),
        "output": str(output),
        "backbone": options.backbone,
        "size": options.size,
        "started": time.time(),
        **changes,
    }
    command = [sys.executable, __file__, "--process", json.dumps(arguments)]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )


def measure(videos: str, output: str, backbone: str, size: int | None, started: float) -> dict:
    """One extraction on the CPU in this process.

    Returns:
        total_seconds of `extract`, loading_seconds of them until decoding began, seconds: the rest;
        first_features_seconds from `started` to the end of the first batch; peak_memory in bytes;
        model_seconds of loading the model once more.
    """
    from aqa_cache.extraction.loading import load_model, random_weights_path
    from aqa_cache.extraction.run import ExtractionConfig, extract
    from aqa_cache.machine.devices import process_peak_memory

    first_features = []
    config = ExtractionConfig(backbone, "random", size=size, device="cpu")
    result = extract(
        videos, output, config, progress=lambda state: first_features or first_features.append(time.time())
    )
    if result.failures:
        raise SystemExit(f"{len(result.failures)} samples failed, the first: {result.failures[0][1]}")
    peak_memory = process_peak_memory()
    again = time.perf_counter()
    load_model(config, random_weights_path(Path(output), backbone))
    return {
        "clips": result.clips,
        "reused": result.reused,
        "dim": result.meaning.dim,
        "total_seconds": result.seconds,
        "loading_seconds": result.loading_seconds,
        "seconds": result.seconds - result.loading_seconds,
        "model_seconds": time.perf_counter() - again,
        "first_features_seconds": first_features[0] - started if first_features else None,
        "peak_memory": peak_memory,
    }


def write_small_video(path: Path, frames: int) -> Path:
    """64x64, H.264 in its fastest preset, a moving square."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.full((64, 64, 3), 60, np.uint8)
            picture[number % 48 : number % 48 + 16, number // 7 % 48 :][:, :16] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_annotations(videos: Path, rows) -> None:
    """An annotations table of numbered samples: video, first frame, frame behind the last; empty for a whole
    video.
    """
    with open(videos / FILE_NAME, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sample_id", "video", "start_frame", "end_frame"])
        writer.writerows([f"{number:06d}", *row] for number, row in enumerate(rows))


def random_weights(output: Path, backbone: str) -> Path:
    from aqa_cache.weights.random_weights import random_weights_path

    return random_weights_path(output, backbone)


def mib(size: int | None) -> str:
    return "–" if size is None else f"{size / 2**20:,.0f} MiB"


if __name__ == "__main__":
    main()
