"""Whether the clips that show a fault carry the loss of points, in what the default model says that each clip
adds, on synthetic dives whose faults are known (`faults.csv`).

    python benchmarks/bench_fault_clips.py --seeds 1

Per data seed: render, extract features of random weights, train the default model on 140 dives, and score 140
others, of other competitions, from the cache. Two questions are put to what the clips of a test dive add:

- Does the clip that adds least, beside the means of its dive and of its place in it, show the fault that cost
  most, or, for each fault, this one, with half of its frames or of the fault's? By chance it does as often as
  it shows that of the other dives.
- How many points less do clips add, beside the same means, for a point that their faults cost, where each
  fault's points are spread over the clips that show it? All faults are asked at once, as dives that have one
  have the others too. By chance 0; 1 were a model that sees every loss where it is.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from results import write_section

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import CLIP_LEN, MTL_AQA_WINDOW, ClipRule
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cli.demo import FRAME_SIZE
from aqa_heads import TrainingConfig, read_run, score_table, train

TRAIN, TEST, EVENTS = 140, 140, 14
ANY = "the costliest"
RESAMPLES = 2000


@dataclass(frozen=True)
class Dives:
    """The test dives of one seed, and what is known of their clips.

    Args:
        adds: what each clip adds, in points. shown: by fault the share of its frames, or of the clip's, that
            the two have in common; cost: by fault in points, 0 where there is none.
        rho: of the run on them, and exact: whether what clips add is that.

    Shape: adds, shown: `(dives, clips)`; cost: `(dives,)`.
    """

    adds: np.ndarray
    shown: dict[str, np.ndarray]
    cost: dict[str, np.ndarray]
    rho: float
    exact: bool


def made(seed: int, work: Path, backbone: str) -> Dives:
    """Of one seed; what is there already is taken as it is."""
    folder = work / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    videos, cache = folder / "videos", folder / f"feats-{backbone}.h5"
    render_broadcasts(videos, train_dives=TRAIN, test_dives=TEST, events=EVENTS, seed=seed)
    if not cache.exists():
        rule = ClipRule(window=MTL_AQA_WINDOW)
        extract(
            videos, cache, ExtractionConfig(backbone, "random", "mtl-aqa", size=FRAME_SIZE, clip_rule=rule)
        )
    path = folder / "runs" / f"default-{backbone}"
    if not path.exists():
        train(TrainingConfig(cache, "default", seed=seed, out=path.parent, name=path.name))
    return read_dives(path, cache, videos)


def read_dives(path: Path, cache: Path, videos: Path) -> Dives:
    with FeatureCache(cache) as read:
        names = sorted(sample.sample_id for sample in read.samples if sample.split == "test")
    place = {name: number for number, name in enumerate(names)}
    made_of = {one.sample_id: one.contributions for one in score_table(path, features=cache).scores}
    clips = [made_of[name].clips for name in names]
    adds = np.array([[clip.points for clip in of_dive] for of_dive in clips])
    first = np.array([[clip.first_frame for clip in of_dive] for of_dive in clips])
    with open(videos / "faults.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["sample_id"] in place]
    kinds = list(dict.fromkeys(row["fault"] for row in rows))
    shown = {kind: np.zeros(adds.shape) for kind in kinds}
    cost = {kind: np.zeros(len(names)) for kind in kinds}
    for row in rows:
        number, begin, end = place[row["sample_id"]], int(row["first_frame"]), int(row["last_frame"]) + 1
        common = np.minimum(first[number] + CLIP_LEN, end) - np.maximum(first[number], begin)
        shown[row["fault"]][number] = np.maximum(common, 0) / min(CLIP_LEN, end - begin)
        cost[row["fault"]][number] = float(row["points"])
    exact = all(made_of[name].exact for name in names)
    return Dives(adds, shown, cost, read_run(path).summary["spearman"], exact)


def hits(dives: Dives) -> dict[str, np.ndarray]:
    """By fault, for each dive that has it: whether its clip that adds least shows it, and how many of the
    other dives' would. Output: `(dives, 2)`.
    """
    least, kinds = beside(dives.adds).argmin(1), list(dives.shown)
    costs = np.array([dives.cost[kind] for kind in kinds])
    found = {ANY: [], **{kind: [] for kind in kinds}}
    for dive in range(len(least)):
        if not costs[:, dive].any():
            continue
        own = {kind: kind for kind, cost in zip(kinds, costs[:, dive], strict=True) if cost > 0}
        for name, kind in (own | {ANY: kinds[costs[:, dive].argmax()]}).items():
            would = dives.shown[kind][dive][least] >= 0.5
            found[name].append((would[dive], np.delete(would, dive).mean()))
    return {name: np.array(each, float) for name, each in found.items()}


def beside(values: np.ndarray) -> np.ndarray:
    """Less the means of their dive and of their place."""
    return values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()


def losses(dives: Dives, kinds: list[str]) -> np.ndarray:
    """What the faults of each clip cost, each fault's points spread over the clips that show it."""
    total = np.zeros(dives.adds.shape)
    for kind in kinds:
        shown = dives.shown[kind]
        total += dives.cost[kind][:, None] * shown / np.maximum(shown.sum(1, keepdims=True), 1e-9)
    return total


def interval(statistic, number: int) -> tuple[float, float, float]:
    """A statistic of dives, and its 95 % interval over other draws of these."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(number, size=number)) for _ in range(RESAMPLES)]
    return statistic(np.arange(number)), *np.percentile(drawn, [2.5, 97.5])


def slopes(adds: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Points that clips add less for each point that each fault costs. Shape: adds: `(dives, clips)`; lost:
    `(faults, dives, clips)`. Output: `(faults,)`.
    """
    return np.linalg.lstsq(lost.reshape(len(lost), -1).T, -adds.ravel(), rcond=None)[0]


def row(name: str, of_seeds: list[Dives]) -> str:
    each = np.concatenate([hits(dives)[name] for dives in of_seeds])
    more, low, high = interval(lambda chosen: float(np.diff(each[chosen].mean(0)[::-1])[0]), len(each))
    kinds = list(of_seeds[0].shown)
    asked = [kinds] if name == ANY else [[kind] for kind in kinds]
    place = 0 if name == ANY else kinds.index(name)
    adds = np.concatenate([beside(dives.adds) for dives in of_seeds])
    lost = np.stack([np.concatenate([beside(losses(d, one)) for d in of_seeds]) for one in asked])
    slope, least, most = interval(
        lambda chosen: float(slopes(adds[chosen], lost[:, chosen])[place]), len(adds)
    )
    return (
        f"| {name} | {len(each)} | {each[:, 0].mean():.0%} | {each[:, 1].mean():.0%} | {100 * more:+.1f}"
        f" ({100 * low:+.1f} to {100 * high:+.1f}) | {slope:+.3f} ({least:+.3f} to {most:+.3f}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="so many data seeds, one after the other")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them")
    parser.add_argument("--backbone", choices=("c3d", "s3d"), default="s3d")
    parser.add_argument("--work", type=Path, default=Path("fault-clips"), help="videos, features, runs")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    of_seeds = [made(seed, options.work, options.backbone) for seed in seeds]
    lines = [
        f"{options.backbone.upper()} features of random weights, the default model trained on {TRAIN}"
        f" synthetic dives, {TEST} dives of other competitions scored, data seed"
        f" {', '.join(map(str, seeds))}. Test ρ {', '.join(f'{dives.rho:.3f}' for dives in of_seeds)}. What a"
        " clip adds is"
        f" {'exact' if all(dives.exact for dives in of_seeds) else 'what the score loses without it'}. In"
        " brackets 95 % intervals over dives, of this or these runs.",
        "",
        "| fault | dives | the clip that adds least shows it | by chance | more, percentage points | points"
        " less for a point that it costs |",
        "|---|---|---|---|---|---|",
        *(row(name, of_seeds) for name in (ANY, *of_seeds[0].shown)),
        "",
        "What clips add is taken beside the means of their dive and of their place in it. By chance: as often"
        " as the clips that add least in the other dives. Points less: of all faults at once, 0 by chance, 1"
        " were a model that sees every loss where it is; in the first row of their sum.",
    ]
    command = f"python benchmarks/bench_fault_clips.py --seeds {options.seeds} --backbone {options.backbone}"
    name, title = f"fault clips {options.backbone}", "Do clips with faults carry the loss"
    if seeds[0]:
        command += f" --first-seed {seeds[0]}"
        name, title = f"{name} from seed {seeds[0]}", f"{title}: other dives, from seed {seeds[0]}"
    write_section(name, title, command, lines)


if __name__ == "__main__":
    main()
