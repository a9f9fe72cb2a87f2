"""What `--last-clip from-end` changes: the frames that no clip sees, and what features of them are worth.

    python benchmarks/bench_last_clip.py --seeds 3 --media ../shared/media/good

On synthetic dives that are cut as people cut them, at the end of the splash: the whole dive, and its last 40
to 47 frames alone. Every set is extracted once, `from-end`, with a random backbone; without the clips that
this adds, the same features are those of `drop`. On both, `ridge` and the default model are trained, and
tested on other competitions. Of media without scores, the frames of stretches of every length are counted.
"""

import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from results import write_section

from aqa_cache.annotations import Sample, read_annotations, write_annotations
from aqa_cache.cache_file.contents import unseen_frames
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.clips.rule import FROM_END, ClipRule
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_cache.datasets.synthetic_dives.broadcast import UNUSED_FRAMES
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cache.video.probing import probe
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

TRAIN, TEST, EVENTS = 48, 32, 5
MODELS = ("ridge", "default")
CUTS = ("whole dive", "its end")


def cut(sample: Sample, how: str) -> Sample:
    """The sample as a person cuts it."""
    end = (sample.end_frame or 0) - UNUSED_FRAMES
    length = 40 + sum(map(ord, sample.sample_id)) % 8
    return replace(sample, end_frame=end, start_frame=sample.start_frame if how == CUTS[0] else end - length)


def without_added(source: Path, target: Path) -> None:
    """The cache as `drop` makes it."""
    with FeatureCache(source) as cache:
        records = []
        for record in cache.records():
            view = record.views[0]
            assert view is not None
            firsts = view.first_frame
            whole = (firsts - firsts[0]) % cache.spec.clip_rule["clip_len"] == 0
            kept = ClipFeatures(view.features[: len(firsts)][whole], firsts[whole], view.pts_seconds[whole])
            records.append(replace(record, views=[kept]))
        write_cache(target, records, cache.spec, views=cache.views, dtype="float32")


def measure(folder: Path, seed: int, size: int, rows: dict) -> None:
    table = {"train_dives": TRAIN, "test_dives": TEST, "events": EVENTS, "seed": seed}
    samples = read_annotations(render_broadcasts(folder / "videos", **table, workers=1))
    for how in CUTS:
        write_annotations(folder / "annotations.csv", [cut(sample, how) for sample in samples])
        added, dropped = folder / f"{how}-from-end.h5", folder / f"{how}-drop.h5"
        config = ExtractionConfig(
            weights="random", size=size, clip_rule=ClipRule(last_clip=FROM_END), workers=1, dtype="float32"
        )
        extract(folder / "videos", added, config, annotations=folder / "annotations.csv")
        without_added(added, dropped)
        for rule, path in (("drop", dropped), ("from-end", added)):
            with FeatureCache(path) as cache:
                seen = unseen_frames(cache)
                assert seen is not None
                rows[how, rule, "unseen"].append(100 * seen["unseen"] / seen["frames"])
                rows[how, rule, "clips"].append(float(cache.lengths[:, 0].mean()))
            for model in MODELS:
                run = train(
                    TrainingConfig(path, model, tasks=("score",), out=folder / f"{how}-{rule}", seed=seed)
                )
                for number in ("spearman", "relative_l2"):
                    rows[how, rule, model, number].append(run.summary[number])


def shares_of_media(media: Path) -> list[str]:
    """Of stretches of 32 to 128 frames, how many frames `drop` leaves unseen."""
    rule = ClipRule()
    lines = ["| video | frames | as a whole, unseen | stretches of 32 to 128 frames, unseen | most |"]
    lines.append("|---|---|---|---|---|")
    for path in sorted(media.iterdir()):
        frames = probe(path).frames
        shares = [100 * (length % rule.clip_len) / length for length in range(32, 129) if length <= frames]
        whole = 100 * (frames % rule.clip_len) / frames
        lines.append(
            f"| {path.name} | {frames} | {whole:.1f} % | {np.mean(shares):.1f} % | {max(shares):.1f} % |"
        )
    return lines


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Sets of dives.")
@click.option("--size", default=64, show_default=True, help="Side of the frames in pixels.")
@click.option("--media", type=click.Path(path_type=Path, exists=True), help="Folder of videos to count in.")
def main(seeds: int, size: int, media: Path | None) -> None:
    rows: dict[tuple, list[float]] = defaultdict(list)
    lines: list[str] = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), seed, size, rows)
        lines = table_of(rows)
        print("\n".join(lines), flush=True)
    if media:
        lines += ["", *shares_of_media(media)]
    command = f"python benchmarks/bench_last_clip.py --seeds {seeds}" + (" --media DIR" if media else "")
    write_section("last-clip", "The end of an action", command, [*introduction(seeds, size), *lines])


def introduction(seeds: int, size: int) -> list[str]:
    return [
        f"{seeds} sets of {TRAIN} + {TEST} synthetic dives of {EVENTS} competitions, S3D of random weights at"
        f" {size} px, clips of 16 frames in a row. Means over the sets; differences of each set, from-end"
        " minus drop, in brackets.",
        "",
    ]


def table_of(rows: dict[tuple, list[float]]) -> list[str]:
    lines = [
        "| cut | rule | frames unseen | clips | ridge, ρ | ridge, R-ℓ2 | default, ρ | default, R-ℓ2 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for how in CUTS:
        for rule in ("drop", "from-end"):
            cells = [
                f"{np.mean(rows[how, rule, 'unseen']):.1f} %",
                f"{np.mean(rows[how, rule, 'clips']):.1f}",
            ]
            for model in MODELS:
                for number in ("spearman", "relative_l2"):
                    mine, other = rows[how, rule, model, number], rows[how, "drop", model, number]
                    each = ", ".join(f"{a - b:+.3f}" for a, b in zip(mine, other, strict=True))
                    cells.append(f"{np.mean(mine):.3f}" + (f" ({each})" if rule != "drop" else ""))
            lines.append(f"| {how} | {rule} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
