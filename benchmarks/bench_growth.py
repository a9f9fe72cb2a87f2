"""What must stay flat or grow in a straight line, each size in a process of its own, into RESULTS.md.

    python benchmarks/bench_growth.py
    python benchmarks/bench_growth.py --only start,resume --finished 1000

- videos: peak memory and seconds a video over the number of videos; memory must be flat, time linear.
- hours: peak memory of one long video, as one sample and as 100 samples; one sample holds no more than 100.
- start: seconds from the start of the process to the first features, beside those of `import torch` alone.
- resume: seconds until `extract` returns where all samples are finished.
- audit: seconds of `aqa-data audit` over the number of samples, of a table and of a cache, and of `aqa-train
  --exp ridge` on that cache, with its peak memory.

Frames are small and weights random: neither changes what grows.
"""

import argparse
import csv
import dataclasses
import json
import os
import random
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
# Of made-up captions.
WORDS = (
    "a and half somersaults forward tuck pike entry lovely the score difficulty of dive oh that one just over"
    " splash nice eighty five point two seven from nine forty"
).split()


def main() -> None:
    rows = {
        "videos": bench_videos,
        "hours": bench_hours,
        "start": bench_start,
        "resume": bench_resume,
        "audit": bench_audit,
    }
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
    parser.add_argument("--audited", default="1000,10000,100000", help="numbers of samples to audit")
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
    measured, torch_alone = {8: [], 1: []}, []
    for number in range(options.starts):
        torch_alone.append(import_torch())
        for batch_size, starts in measured.items():
            output = folder / f"start-{number}-{batch_size}.h5"
            if (
                number or batch_size == 1
            ):  # random weights are made once, as published ones are downloaded once
                random_weights(output, options.backbone).hardlink_to(
                    random_weights(folder / "start-0-8.h5", options.backbone)
                )
            row = in_process(videos, output, options, size=None, batch_size=batch_size)
            starts.append((row["first_features_seconds"], row["first_features_cpu"]))
            print(
                f"start: batch {batch_size}, {starts[-1][0]:.2f} s; torch {torch_alone[-1][0]:.2f}",
                flush=True,
            )
    lines = [
        (
            "From the start of the process to the features of the first batch, on the CPU, Python and"
            " libraries included, beside a process that imports torch alone, in turn; medians. The first"
            " start, which makes random weights, took"
            f" {measured[8][0][0]:.1f} s and is left out. CPU seconds are of all threads until then; other"
            " work on the machine lengthens them less."
        ),
        "",
        "| | s | s more than torch, round by round | CPU s | CPU s more than torch |",
        "|---|---|---|---|---|",
        f"| `import torch` | {median(torch_alone, 0):.2f} | | {median(torch_alone, 1):.2f} | |",
    ]
    for batch_size, starts in measured.items():
        starts = starts[1:] or starts
        both = list(zip(starts, torch_alone[-len(starts) :], strict=True))
        more, more_cpu = (statistics.median(mine[k] - torch[k] for mine, torch in both) for k in (0, 1))
        lines.append(
            f"| first features, batch of {batch_size} | {median(starts, 0):.2f} |"
            f" {more:.2f} | {median(starts, 1):.2f} | {more_cpu:.2f} |"
        )
    return "Start", f"--starts {options.starts}", lines


def median(pairs: list[tuple[float, float]], place: int) -> float:
    return statistics.median(pair[place] for pair in pairs)


def import_torch() -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak bytes of a process that imports torch and nothing else."""
    return timed([sys.executable, "-c", "import torch"])


def timed(command: list[str]) -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak bytes of a process, its end included."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):  # 1: an audit that found a leak
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def bench_audit(folder: Path, options: argparse.Namespace) -> tuple[str, str, list[str]]:
    lines = [
        (
            "Samples with seven marks, a caption of 25 words, three classes, groups of 100 and 400 in a"
            " video, drawn at random; from the start of the process. The cache has two clips a sample, of 8"
            " values. CPU: of the process, which other work on the machine lengthens less. Memory: its peak;"
            f" that of a process that imports torch alone is {import_torch()[2] / 1e6:,.0f} MB, as it ends."
        ),
        "",
        "| samples | audit: table, s | CPU s | cache, s | CPU s | ridge, s | CPU s | memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for count in map(int, options.audited.split(",")):
        table, cache = write_audited(folder, count)
        ridge = ["--features", str(cache), "--exp", "ridge", "--out", str(folder / f"ridge-{count}")]
        cells = []
        for name, *arguments in (
            ("aqa-data", "audit", str(table)),
            ("aqa-data", "audit", str(cache)),
            ("aqa-train", *ridge, "--threads", "1"),
        ):
            seconds, cpu, peak = timed([str(Path(sys.executable).with_name(name)), *arguments])
            cells += [f"{seconds:.1f}", f"{cpu:.1f}"]
        lines.append(f"| {count:,} | {' | '.join(cells)} | {peak / 1e6:,.0f} |")
        print(lines[-1], flush=True)
    return "Audit and ridge over their samples", f"--audited {options.audited}", lines


def write_audited(folder: Path, count: int) -> tuple[Path, Path]:
    """A table of so many samples, and a cache of the same."""
    import numpy as np

    from aqa_cache.annotations import Sample
    from aqa_cache.annotations import write_annotations as write_table
    from aqa_cache.cache_file.feature_spec import FeatureSpec
    from aqa_cache.cache_file.record import ClipFeatures, Record
    from aqa_cache.cache_file.writer import write_cache

    drawn = random.Random(0)
    samples = []
    for number in range(count):
        marks, difficulty = [drawn.randrange(8, 21) / 2 for _ in range(7)], drawn.randrange(16, 39) / 10
        start = number % 400 * 150
        samples.append(
            Sample(
                f"s{number:06d}",
                f"v{number // 400:04d}.mp4",
                start,
                start + drawn.randrange(100, 170),
                drawn.choices(["train", "val", "test"], [7, 1, 2])[0],
                f"g{number // 100:04d}",
                final_score=round(difficulty * sum(sorted(marks)[2:5]), 2),
                difficulty=difficulty,
                judges=tuple(marks),
                classes={name: str(drawn.randrange(4)) for name in ("position", "armstand", "rotation")},
                caption=" ".join(drawn.choices(WORDS, k=25)),
            )
        )
    table, cache = folder / f"audited-{count}.csv", folder / f"audited-{count}.h5"
    write_table(table, samples)
    generator = np.random.default_rng(0)
    spec = FeatureSpec("made", "made", 8, "made", "", {}, {"clip_len": CLIP_LEN, "frame_step": 1})
    records = [
        Record(
            sample,
            [
                ClipFeatures(
                    generator.normal(size=(2, 8)).astype(np.float32),
                    np.array([sample.start_frame, sample.start_frame + CLIP_LEN]),
                    np.array([0.0, CLIP_LEN / FRAME_RATE]),
                )
            ],
        )
        for sample in samples
    ]
    write_cache(cache, records, spec)
    return table, cache


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
        spec, numerics, views = cache.spec, cache.numerics, cache.views
        larger = output.with_suffix(".larger")
        write_cache(larger, records, spec, views=views, numerics=numerics)
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


def measure(
    videos: str, output: str, backbone: str, size: int | None, started: float, batch_size: int | None = None
) -> dict:
    """One extraction on the CPU in this process.

    Returns:
        total_seconds of `extract`, loading_seconds of them until decoding began, seconds: the rest;
        first_features_seconds from `started` to the end of the first batch, first_features_cpu: of all
        threads until then; peak_memory in bytes;
        model_seconds of loading the model once more.
    """
    from aqa_cache.extraction.loading import load_model
    from aqa_cache.extraction.run import ExtractionConfig, extract
    from aqa_cache.machine.devices import process_peak_memory
    from aqa_cache.weights.random_weights import random_weights_path

    first_features = []
    config = ExtractionConfig(backbone, "random", size=size, device="cpu", batch_size=batch_size)
    result = extract(
        videos,
        output,
        config,
        progress=lambda state: first_features or first_features.extend((time.time(), time.process_time())),
    )
    if result.failures:
        raise SystemExit(f"{len(result.failures)} samples failed, the first: {result.failures[0][1]}")
    peak_memory = process_peak_memory()
    again = time.perf_counter()
    load_model(config, random_weights_path(Path(output), backbone))
    return {
        "clips": result.clips,
        "reused": result.reused,
        "dim": result.spec.dim,
        "total_seconds": result.seconds,
        "loading_seconds": result.loading_seconds,
        "seconds": result.seconds - result.loading_seconds,
        "model_seconds": time.perf_counter() - again,
        "first_features_seconds": first_features[0] - started if first_features else None,
        "first_features_cpu": first_features[1] if first_features else None,
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
