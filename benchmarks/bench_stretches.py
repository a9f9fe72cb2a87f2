"""How often `aqa-score --every` lists stretches that are an action, beside chance, into RESULTS.md.

    aqa-demo
    python benchmarks/bench_stretches.py aqa-demo/runs/default aqa-demo/videos

Of every test video as many stretches are taken from the top of the list as it has actions. A stretch is one
where it shares at least half of the frames that it or the action has (intersection over union). By chance: of
all stretches, and of so many drawn from them that do not overlap by more than half.
"""

from pathlib import Path

import click
import numpy as np
from results import write_section

from aqa_cache.annotations import Sample, read_annotations
from aqa_heads import score_table
from aqa_heads.scoring.results import Score
from aqa_heads.scoring.stretches import best_fitting, length_of, step_of, stretches_of
from aqa_heads.scoring.trained import read_trained

DRAWS, SAME = 200, 0.5


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("videos", type=click.Path(path_type=Path))
@click.option("--every", default="1s", show_default=True)
@click.option("--name", default="aqa-demo", show_default=True, help="What made run and videos.")
def main(run: Path, videos: Path, every: str, name: str) -> None:
    """Go through the test videos of a folder with its annotations."""
    length, rng = length_of(read_trained(run)), np.random.default_rng(0)
    by_video: dict[str, list[Sample]] = {}
    for sample in read_annotations(videos / "annotations.csv"):
        if sample.split == "test":
            by_video.setdefault(sample.video, []).append(sample)
    found, actions, all_hits, all_stretches, drawn = 0, 0, 0, 0, []
    hits = taken = 0
    for video, dives in by_video.items():
        listed = [one.frames for one in score_table(run, [videos / video], every=every).scores][: len(dives)]
        stretches = stretches_of(videos / video, Sample("v", video), step_of(every), length)
        every_one = [(one.start_frame or 0, one.end_frame or 0) for one in stretches]
        hits, taken = hits + _hits(listed, dives), taken + len(listed)
        found, actions = found + _found(listed, dives), actions + len(dives)
        all_hits, all_stretches = all_hits + _hits(every_one, dives), all_stretches + len(every_one)
        drawn.append([_found(_drawn(every_one, length, len(dives), rng), dives) for _ in range(DRAWS)])
        print(f"{video}: {_hits(listed, dives)} of {len(listed)} listed stretches are an action")
    by_chance = np.sum(drawn, axis=0)
    low, high = np.percentile(by_chance, [2.5, 97.5])
    lines = [
        f"{len(by_video)} test videos of {name} (random S3D features), {actions} dives,"
        f" {all_stretches} stretches of {length} frames.",
        "",
        "| | stretches that are a dive | dives that are found |",
        "|---|---|---|",
        f"| the first of the list | {hits} of {taken} | {found} of {actions} |",
        f"| by chance | {all_hits / all_stretches:.0%} | {by_chance.mean():.1f} of {actions}"
        f" (95 % of draws: {low:.0f} to {high:.0f}) |",
    ]
    command = f"python benchmarks/bench_stretches.py {run} {videos} --every {every}"
    write_section(
        "stretches", "Where in a long video: stretches that are like training samples", command, lines
    )


def _drawn(stretches: list[tuple[int, int]], length: int, number: int, rng) -> list[tuple[int, int]]:
    order = rng.permutation(len(stretches))
    scores = [
        Score(f"{place:04d}", "", stretches[place], 0.0, share_as_far=rank / len(order))
        for rank, place in enumerate(order.tolist())
    ]
    return [one.frames for one in best_fitting(scores, length) if one.frames][:number]


def _hits(stretches, dives: list[Sample]) -> int:
    return sum(any(_shared(one, dive) >= SAME for dive in dives) for one in stretches)


def _found(stretches, dives: list[Sample]) -> int:
    return sum(any(_shared(one, dive) >= SAME for one in stretches) for dive in dives)


def _shared(one: tuple[int, int], dive: Sample) -> float:
    start, end = dive.start_frame or 0, dive.end_frame or 0
    both = max(0, min(one[1], end) - max(one[0], start))
    return both / (one[1] - one[0] + end - start - both)


if __name__ == "__main__":
    main()
