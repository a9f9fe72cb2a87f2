"""Kill an extraction at random moments, resume it each time, and compare with one that was never stopped, bit
for bit.

python benchmarks/kill_run.py --kills 100
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import av
import h5py
import numpy as np
from results import write_section

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.clips.views import parse_views
from aqa_cache.extraction import part_writer, publishing
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cache.weights.random_weights import random_weights_path

SAMPLES_PER_VIDEO, FRAMES = 4, 160
CONFIG = ExtractionConfig(
    backbone="s3d", weights="random", size=64, batch_size=4, workers=2, views=parse_views("flip")
)
# Small parts, so that some are saved between two kills.
part_writer.PART_SAMPLES, part_writer.PART_SECONDS = 3, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=10, help=f"of {SAMPLES_PER_VIDEO} samples each")
    parser.add_argument("--size", type=int, default=CONFIG.size, help="of a frame, in pixels")
    parser.add_argument("--no-results", action="store_true", help="print only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-run-") as folder:
        config = replace(CONFIG, size=options.size)
        report = run(Path(folder), config, options.kills, options.videos, options.seed)
    print(json.dumps(report))
    if not options.no_results:
        lines = [
            (
                f"{report['kills']} kills (SIGKILL) over {report['cycles']} extractions of"
                f" {report['samples']} samples, {report['publishing']} of them while publishing; every second"
                " extraction adds to a cache that was there before. Each was resumed until it was done."
            ),
            "",
            (
                f"- after each kill: the published cache whole and readable in {report['kills']} of"
                f" {report['kills']} ({report['old']} times the old one, {report['new']} times the new one,"
                f" {report['none']} times none had been published yet)"
            ),
            (
                "- every dataset and attribute equal to those of an uninterrupted run, bit for bit:"
                f" {report['equal']} of {report['cycles']} extractions"
            ),
            f"- left behind beside the cache: {report['litter'] or 'nothing'}",
        ]
        command = f"python benchmarks/kill_run.py --kills {options.kills} --seed {options.seed}"
        write_section("kill run", "Killed and resumed", command, lines)
    sys.exit(0 if report["equal"] == report["cycles"] and not report["litter"] else 1)


def run(folder: Path, config: ExtractionConfig, kills: int, video_count: int, seed: int) -> dict:
    """Kill so many times, then let the last extraction end.

    Raises:
        AssertionError: after a kill the published cache was neither the old one nor the new one.
    """
    rng = random.Random(seed)
    videos = folder / "videos"
    write_videos(videos, video_count)
    reference, earlier = folder / "reference" / "feats.h5", folder / "earlier" / "feats.h5"
    weights = random_weights_path(reference, "s3d")
    for path in (reference, earlier):
        path.parent.mkdir()
    in_child(lambda _: extract(videos, reference, config), "")
    assert len(contents(reference)) > 10
    weights_of(earlier).symlink_to(weights)
    in_child(lambda _: extract(videos, earlier, config, annotations=videos / "first.csv"), "")
    # How long an uninterrupted run takes from its first clip on, and publishing in it.
    timed = folder / "timed" / "feats.h5"
    timed.parent.mkdir()
    weights_of(timed).symlink_to(weights)
    moments = in_child(lambda tell: reported(videos, timed, config, tell), "cpd")
    whole, publishing = moments["d"] - moments["c"], moments["d"] - moments["p"]

    report = dict.fromkeys(("kills", "publishing", "cycles", "equal", "old", "new", "none"), 0)
    report |= {"samples": video_count * SAMPLES_PER_VIDEO, "litter": ""}
    while report["kills"] < kills:
        report["cycles"] += 1
        output = folder / f"cycle-{report['cycles']}" / "feats.h5"
        output.parent.mkdir()
        weights_of(output).symlink_to(weights)
        begun_with = {}
        if report["cycles"] % 2 == 0:
            output.write_bytes(earlier.read_bytes())
            begun_with = contents(output)
        while True:
            while_publishing = rng.random() < 0.1
            delay = rng.uniform(0, publishing) if while_publishing else rng.uniform(0, whole / 3)
            mark = "p" if while_publishing else "cp"
            last = report["kills"] >= kills
            ended = in_child(
                lambda tell, output=output: reported(videos, output, config, tell),
                "" if last else mark,
                delay,
            )
            if ended:
                break
            report["kills"] += 1
            report["publishing"] += while_publishing
            found = contents(output) if output.exists() else {}
            assert found in ({}, begun_with) or found == contents(reference), "neither old nor new"
            report["none" if not found else "old" if found == begun_with else "new"] += 1
        report["equal"] += contents(output) == contents(reference)
        kept = {"feats.h5", "feats.h5.log", weights_of(output).name}
        report["litter"] += " ".join(sorted({path.name for path in output.parent.iterdir()} - kept))
    return report


def reported(videos: Path, output: Path, config: ExtractionConfig, tell: Callable[[str], None]) -> None:
    """Extract, telling of each batch (c), of publishing (p) and of its end (d)."""
    really = publishing.write_cache

    def write_cache(path, *arguments, **options):
        if path == output:
            tell("p")
        result = really(path, *arguments, **options)
        if path == output:
            tell("d")
        return result

    publishing.write_cache = write_cache
    extract(videos, output, config, progress=lambda _: tell("c"))


def in_child(work: Callable, marks: str, delay: float | None = None):
    """Run `work` in a forked process, whose imports are done already.

    Args:
        marks: what it may tell; with a `delay`, it is killed so many seconds after the first of them.

    Returns:
        With a delay: whether it ended before it was killed. Without: when each mark came first.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            work(lambda mark: os.write(writer, mark.encode()))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    moments: dict[str, float] = {}
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while told := pipe.read(1).decode():
            moments.setdefault(told, time.monotonic())
            if delay is not None and told in marks:
                time.sleep(delay)
                os.kill(child, signal.SIGKILL)
                break
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or os.WEXITSTATUS(status) == 0, f"the child failed with {status}"
    return moments if delay is None else not killed


def contents(path: Path) -> dict[str, bytes]:
    """Every dataset and attribute of a cache, as bytes; its checksums are checked on the way."""
    found: dict[str, bytes] = {}

    def take(name: str, item) -> None:
        found.update((f"{name}@{key}", str(value).encode()) for key, value in item.attrs.items())
        if isinstance(item, h5py.Dataset):
            found[name] = str((item.shape, item.dtype)).encode() + item[()].tobytes()

    with h5py.File(path) as file:
        take("", file)
        file.visititems(take)
    return found


def weights_of(output: Path) -> Path:
    return random_weights_path(output, "s3d")


def write_videos(folder: Path, count: int) -> None:
    """Small videos of moving noise, their annotations, and `first.csv` with a part of them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    samples = []
    for video in range(count):
        with av.open(str(folder / f"{video}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            noise = np.kron(rng.integers(0, 256, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            for frame in range(FRAMES):
                picture = np.ascontiguousarray(np.roll(noise, frame, axis=1)[:64, :64])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        length = FRAMES // SAMPLES_PER_VIDEO
        samples += [
            Sample(
                f"{video}-{part}", f"{video}.mp4", part * length, (part + 1) * length, final_score=float(part)
            )
            for part in range(SAMPLES_PER_VIDEO)
        ]
    write_annotations(folder / "annotations.csv", samples)
    write_annotations(folder / "first.csv", samples[: len(samples) // 4])


if __name__ == "__main__":
    main()
