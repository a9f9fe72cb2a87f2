"""What a million clips cost on many machines, and where more machines stop helping, into docs/scale.md.

python benchmarks/simulate_cluster.py                # measures decode and compute here, then simulates
python benchmarks/simulate_cluster.py --rates rates.json
"""

import heapq
import json
import math
import os
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import click
import numpy as np
from results import machine, wrapped

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
RESULTS = Path(__file__).with_name("RESULTS.md")
CLIPS, CLIPS_EACH, DIM = 1_000_000, 6, 1024
MACHINES = (1, 4, 16, 64, 256, 1024)
LOST_EVERY, BACK_AFTER = 2 * 3600.0, 300.0  # seconds that a spot machine lives, and until there is another
SLOW_SHARE, SLOW_FACTOR = 0.1, 2.0
WORKER_CORES = 2


@dataclass(frozen=True)
class Rates:
    """What was measured, in seconds of CPU.

    Args:
        decode: of a clip, of each video; compute: of a clip, of each batch; loading: of a process until its
            first frame.
    """

    decode: list[float]
    compute: list[float]
    loading: float


@dataclass(frozen=True)
class Run:
    """One simulated extraction.

    Args:
        hours: until the last unit; machine_hours: of all machines until then; ideal: hours without any loss.
        redone: share of the work that was made twice.
    """

    hours: float
    machine_hours: float
    ideal: float
    redone: float


def measure(videos: int = 12, batches: int = 12, size: int = 112) -> Rates:
    """Decode and compute of S3D on this machine; CPU seconds, which neighbours disturb less."""
    import torch

    from aqa_cache.annotations import Sample
    from aqa_cache.clips.preprocess import FramePreparer
    from aqa_cache.clips.rule import ClipRule
    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_cache.extraction.loading import load_model
    from aqa_cache.extraction.measuring.video import write_video
    from aqa_cache.video.reader import Outcome, VideoReader

    torch.set_num_threads(1)
    began = time.process_time()
    config = ExtractionConfig(weights="random", size=size, batch_size=8, engine="torch")
    with tempfile.TemporaryDirectory(prefix="aqa-simulate-") as folder:
        model, _ = load_model(config, Path(folder) / "weights.safetensors")
        loading, decode, clips = time.process_time() - began, [], []
        for number in range(videos):
            path, frames = Path(folder) / f"{number}.mp4", 48 + 16 * (number % 6)
            write_video(path, frames)
            reader = VideoReader(path, {0: Sample("a", path.name, 0, frames)}, ClipRule())
            began = time.process_time()
            made = [
                one for one in reader.read(FramePreparer(model.preprocessing)) if not isinstance(one, Outcome)
            ]
            decode.append((time.process_time() - began) / len(made))
            clips += [clip.frames for clip in made]
        compute = []
        for _ in range(batches + 1):
            began = time.process_time()
            model.forward(clips[: model.batch_size])
            compute.append((time.process_time() - began) / model.batch_size)
    return Rates(decode, compute[1:], loading)


def unit_seconds(rates: Rates, clips: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Seconds of each unit on a worker, drawn from what was measured: one video and its batches."""
    counts = np.asarray(clips)
    decode = rng.choice(rates.decode, len(counts))
    compute = np.array([rng.choice(rates.compute, max(1, count // 64)).mean() for count in counts])
    return counts * (decode + compute) / WORKER_CORES


def simulate(
    seconds: np.ndarray,
    machines: int,
    loading: float,
    rng: np.random.Generator,
    *,
    shards: int = 0,
    spot=False,
) -> Run:
    """Let machines work until every unit is done.

    Args:
        seconds: of each unit; loading: until a machine begins.
        shards: dealt beforehand, the largest units first; machines take shards one after the other. 0: they
            take units.
        spot: machines are lost, each with the unit under way.
    """
    tasks = _dealt(seconds, shards) if shards else [[unit] for unit in np.argsort(-seconds)]
    tasks = list(reversed(tasks))  # the next one last
    speed = np.where(rng.permutation(machines) < round(SLOW_SHARE * machines), SLOW_FACTOR, 1.0)
    dies = rng.exponential(LOST_EVERY, machines) if spot else np.full(machines, np.inf)
    free = [(loading, number) for number in range(machines)]
    heapq.heapify(free)
    end = redone = 0.0
    while free:
        now, number = heapq.heappop(free)
        if not tasks:
            continue
        task = tasks.pop()
        while task:
            takes = float(seconds[task[0]]) * speed[number]
            if now + takes > dies[number]:  # the unit is lost; the rest of the shard goes to the next machine
                redone += max(0.0, dies[number] - now)
                tasks.append(task)
                now = dies[number] + BACK_AFTER + loading
                dies[number] = now + rng.exponential(LOST_EVERY)
                break
            now, task = now + takes, task[1:]
            end = max(end, now)
        heapq.heappush(free, (now, number))
    total = float(seconds.sum())
    return Run(end / 3600, end * machines / 3600, total / machines / 3600, redone / total)


def _dealt(seconds: np.ndarray, shards: int) -> list[list[int]]:
    heap: list[tuple[float, int]] = [(0.0, number) for number in range(shards)]
    dealt: list[list[int]] = [[] for _ in range(shards)]
    for unit in np.argsort(-seconds):
        load, number = heapq.heappop(heap)
        dealt[number].append(int(unit))
        heapq.heappush(heap, (load + float(seconds[unit]), number))
    return [task for task in dealt if task]


def dives() -> list[int]:
    """Clips of the units of annotated actions, as `make_units` makes them: 170 samples of 96 frames."""
    each = (1 << 14) // (16 * CLIPS_EACH) * CLIPS_EACH
    return [each] * (CLIPS // each) + ([CLIPS % each] if CLIPS % each else [])


def whole_videos(rng: np.random.Generator) -> list[int]:
    """Clips of whole videos of minutes to hours, each a unit: an assumption, not measured."""
    clips: list[int] = []
    while sum(clips) < CLIPS:
        seconds = min(3 * 3600.0, float(rng.lognormal(math.log(120), 1.3)))
        clips.append(max(1, int(seconds * 25 / 16)))
    return clips


def table(name: str, clips: list[int], rates: Rates, repeats: int = 20) -> list[str]:
    """Rows of hours, and of machine-hours over the ideal, for each way of dividing."""
    rng = np.random.default_rng(0)
    seconds = unit_seconds(rates, clips, rng)
    ways = {
        "a shard for each machine": {"shards": 1},
        "8 shards for each machine": {"shards": 8},
        "units, as they come": {"shards": 0},
    }
    rows = [
        f"{name}: {len(clips):,} units, {seconds.sum() / 3600:,.0f} machine-hours, the longest unit"
        f" {seconds.max() / 60:,.1f} minutes.",
        "",
        "| machines | ideal, hours | " + " | ".join(f"{way} | spot" for way in ways) + " | redone, spot |",
        "|--:|--:|" + "--:|" * (2 * len(ways) + 1),
    ]
    for machines in MACHINES:
        cells, ideal, redone = [], seconds.sum() / machines / 3600, 0.0
        for settings in ways.values():
            for spot in (False, True):
                runs = [
                    simulate(
                        seconds,
                        machines,
                        rates.loading,
                        np.random.default_rng(seed),
                        shards=settings["shards"] * machines,
                        spot=spot,
                    )
                    for seed in range(repeats)
                ]
                hours = statistics.fmean(run.hours for run in runs)
                cells.append(f"{hours:,.2f} ({ideal / hours:.0%})")
                redone = statistics.fmean(run.redone for run in runs)
        rows.append(f"| {machines:,} | {ideal:,.2f} | {' | '.join(cells)} | {redone:.1%} |")
    return rows


def costs(rates: Rates) -> list[str]:
    """What a million clips are: time, bytes, requests."""
    decode, compute = statistics.fmean(rates.decode), statistics.fmean(rates.compute)
    parts = math.ceil(CLIPS * DIM * 4 / (4 << 20))
    hours = CLIPS * (decode + compute) / WORKER_CORES / 3600
    merge = _merge_rate()
    told = {
        "decoding, CPU seconds a clip: mean, least, most": _spread(rates.decode),
        "backbone, CPU seconds a clip: mean, least, most": _spread(rates.compute),
        f"machine-hours of {WORKER_CORES} cores": f"{hours:,.1f}",
        "until a process begins, CPU seconds": f"{rates.loading:.1f}",
        "bytes of features in parts": f"{CLIPS * DIM * 4 / 1e9:.1f} GB",
        "bytes of features published in float16": f"{CLIPS * DIM * 2 / 1e9:.1f} GB",
        "parts of 4 MB": f"{parts:,}",
        "requests of the workers: a PUT and a HEAD for each part": f"{2 * parts:,}",
        "and of each process: listings of 1,000 names (one more for each 1,000 videos), wanted.h5": (
            f"{2 * math.ceil(parts / 1000) + 4:,}"
        ),
        "requests of the merge: a GET for each part": f"{parts:,}",
    }
    if merge:
        minutes = CLIPS // CLIPS_EACH / merge / 60
        told[f"merge, at the {merge:,.0f} samples for a CPU second that were measured"] = (
            f"{minutes:,.1f} CPU minutes"
        )
    head = ["| of 1,000,000 clips of 16 frames, S3D at 112 pixels | |", "|---|--:|"]
    return [*head, *(f"| {name} | {value} |" for name, value in told.items())]


def _spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.3f}, {min(values):.3f}, {max(values):.3f}"


def _merge_rate() -> float | None:
    """Samples for a CPU second, of the largest place in RESULTS.md."""
    section = re.search("<!-- begin merge -->(.*?)<!-- end merge -->", RESULTS.read_text(), re.S)
    rows = [line for line in section[1].splitlines() if re.match(r"\| [0-9]", line)] if section else []
    if not rows:
        return None
    cells = [cell.strip().replace(",", "") for cell in rows[-1].split("|")]
    return float(cells[1]) / float(cells[5])


def write_page(lines: list[str], command: str) -> None:
    """Put the figures into their place in docs/scale.md; the prose around them stays."""
    made_by = wrapped(f"`{command}`, {date.today()}, {machine()}")
    body = "\n".join(["", made_by, "", *map(wrapped, lines), ""])
    marks = "<!-- begin simulation -->", "<!-- end simulation -->"
    before, _, rest = PAGE.read_text().partition(marks[0])
    after = rest.partition(marks[1])[2]
    PAGE.write_text(f"{before}{marks[0]}{body}{marks[1]}{after}")


@click.command()
@click.option(
    "--rates", type=click.Path(path_type=Path), help="Measured before; else they are measured and kept there."
)
def main(rates: Path | None) -> None:
    if rates and rates.exists():
        measured = Rates(**json.loads(rates.read_text()))
    else:
        measured = measure()
        if rates:
            rates.write_text(json.dumps(asdict(measured)))
    lines = [
        *costs(measured),
        "",
        "Hours, and in brackets the share of the ideal, means of 20 draws. A tenth of the machines is"
        f" {SLOW_FACTOR:g} times as slow; spot machines live {LOST_EVERY / 3600:g} hours on average, lose the"
        f" unit under way, and another begins {BACK_AFTER / 60:g} minutes later.",
        "",
        *table("Annotated actions of 6 clips", dives(), measured),
        "",
        *table(
            "Whole videos (lengths assumed: log-normal, median 2 minutes, at most 3 hours)",
            whole_videos(np.random.default_rng(0)),
            measured,
        ),
    ]
    for line in lines:
        print(line)
    write_page(lines, "python benchmarks/simulate_cluster.py")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
