"""What bfloat16 features on a CPU do to a head's Spearman, on synthetic dives and on generated sequences.

    python benchmarks/bench_precision.py --seeds 3

Per data seed: render dives, extract features of random weights in fp32 and in bf16, train heads on each, and
score the test dives: trained and tested in one precision, and trained on fp32 and tested on bf16. The check
that refuses bf16 where it is too far from fp32 is told to pass, and what it would say is in the table.

Generated sequences have no backbone. Their features are moved by normal noise that is as large as the
difference of bf16, as a share of the features' standard deviation, and by four times that.
"""

import shlex
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from results import write_section
from scipy.stats import spearmanr

from aqa_cache.backbones.precision import Parity
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import MTL_AQA_WINDOW, ClipRule
from aqa_cache.datasets.synthetic_dives import render_broadcasts
from aqa_cache.extraction.run import ExtractionConfig, extract
from aqa_cli.demo import FRAME_SIZE
from aqa_heads import TrainingConfig, read_run, score_table, train

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from shared_groups import make  # noqa: E402

HEADS = ("ridge", "default")
PRECISIONS = ("fp32", "bf16")
TIMES = (1, 4)


@dataclass(frozen=True)
class Difference:
    """Of bf16 features from fp32 ones, of all clips.

    Args:
        parity: as the check before an extraction measures it.
        noise: root mean square of the difference over the features' standard deviation between clips.
    """

    parity: Parity
    noise: float

    @classmethod
    def between(cls, fp32: Path, bf16: Path) -> "Difference":
        exact, moved = (rows_of(path) for path in (fp32, bf16))
        spread = np.sqrt(exact.var(0).mean())
        return cls(Parity.between(moved, exact), float(np.sqrt(((moved - exact) ** 2).mean()) / spread))


def rows_of(path: Path) -> np.ndarray:
    """All clips of a cache, `(clips, dim)` float64."""
    with FeatureCache(path) as cache:
        return np.concatenate([cache.features(index) for index in range(len(cache))]).astype(np.float64)


@contextmanager
def unchecked():
    """bf16 is used however far it is from fp32."""
    good = Parity.good
    Parity.good = property(lambda _: True)
    try:
        yield
    finally:
        Parity.good = good


def extracted(folder: Path, backbone: str, seed: int, dives: tuple[int, int, int]) -> dict[str, Path]:
    """The caches of one seed's dives, by precision."""
    videos, (trained, tested, events) = folder / "videos", dives
    if not videos.exists():
        render_broadcasts(videos, train_dives=trained, test_dives=tested, events=events, seed=seed)
    caches = {}
    for precision in PRECISIONS:
        caches[precision] = folder / f"{backbone}-{precision}.h5"
        config = ExtractionConfig(
            backbone,
            "random",
            "mtl-aqa",
            size=FRAME_SIZE,
            clip_rule=ClipRule(window=MTL_AQA_WINDOW),
            engine="torch",
            precision=precision,
            dtype="float32",
        )
        if not caches[precision].exists():
            with unchecked():
                extract(videos, caches[precision], config)
    with FeatureCache(caches["fp32"]) as exact, FeatureCache(caches["bf16"]) as moved:
        assert (exact.numerics["precision"], moved.numerics["precision"]) == PRECISIONS
        assert exact.spec == moved.spec
    return caches


def trained(cache: Path, head: str, seed: int, out: Path, **asked) -> Path:
    """The folder of a run."""
    asked |= {"tasks": ("score",), "seed": seed, "device": "cpu", "overwrite": True}
    name = f"{head}-{cache.stem}"
    return train(TrainingConfig(cache, head, out=out, name=name, **asked)).folder


def spearman_on(run: Path, cache: Path) -> float:
    """Of a run, on the test samples of another cache."""
    with FeatureCache(cache) as read:
        true = {sample.sample_id: sample.final_score for sample in read.samples if sample.split == "test"}
    found = {one.sample_id: one.points for one in score_table(run, features=cache).scores}
    return float(spearmanr([found[name] for name in true], list(true.values())).statistic)


def of_dives(backbone: str, seeds: int, dives: tuple[int, int, int], work: Path):
    """Per head its Spearman, `(seeds, 3)`: in fp32, in bf16, trained in fp32 and tested in bf16; and the
    differences.
    """
    rhos, differences = {head: [] for head in HEADS}, []
    for seed in range(seeds):
        folder = work / f"dives-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        caches = extracted(folder, backbone, seed, dives)
        differences.append(Difference.between(caches["fp32"], caches["bf16"]))
        for head in HEADS:
            runs = {name: trained(cache, head, seed, folder / "runs") for name, cache in caches.items()}
            own = [read_run(run).summary["spearman"] for run in runs.values()]
            rhos[head].append([*own, spearman_on(runs["fp32"], caches["bf16"])])
            click.echo(f"{backbone} seed {seed} {head}: {rhos[head][-1]}")
    return {head: np.array(each) for head, each in rhos.items()}, differences


def of_sequences(new_groups: bool, noise: float, sets: int, work: Path) -> dict[str, np.ndarray]:
    """Per head its Spearman on generated sequences, `(sets, 1 + times)`: exact, and moved."""
    rhos = {head: [] for head in HEADS}
    for seed in range(sets):
        exact, rng, paths = make(seed, new_groups=new_groups), np.random.default_rng(seed), []
        spread = noise * np.sqrt(np.concatenate(exact.features).var(0).mean())
        for times in (0, *TIMES):
            moved = [
                (clips + times * spread * rng.normal(size=clips.shape)).astype(np.float32)
                for clips in exact.features
            ]
            path = work / f"sequences-{new_groups}-{seed}-{times}.h5"
            path.unlink(missing_ok=True)
            paths.append(replace(exact, features=moved).write(path))
        for head in HEADS:
            runs = [trained(path, head, seed, work / "runs", folds="official", fold="0") for path in paths]
            rhos[head].append([read_run(run).summary["spearman"] for run in runs])
    return {head: np.array(each) for head, each in rhos.items()}


def changes(rhos: np.ndarray) -> str:
    """Cells of a table: the mean in fp32, and of every other column the mean and the largest change."""
    moved = rhos[:, 1:] - rhos[:, :1]
    cells = [
        f"{change.mean():+.4f} ({change[np.abs(change).argmax()]:+.4f})" if len(change) else "–"
        for change in moved.T
    ]
    return " | ".join([f"{rhos[:, 0].mean():.3f}", *cells])


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Of the dives.")
@click.option("--sets", default=5, show_default=True, help="Of generated sequences.")
@click.option("--backbones", default="c3d,s3d", show_default=True)
@click.option(
    "--dives", nargs=3, default=(140, 50, 10), show_default=True, help="Training, test, competitions."
)
@click.option("--work", type=click.Path(path_type=Path), help="Where videos and caches stay.")
def main(seeds: int, sets: int, backbones: str, dives: tuple[int, int, int], work: Path | None) -> None:
    """Measure what bf16 does to Spearman."""
    command = f"python benchmarks/bench_precision.py {shlex.join(sys.argv[1:])}".strip()
    lines = [
        f"{dives[0]} + {dives[1]} synthetic dives at {FRAME_SIZE} px, {seeds} data seeds, random weights,"
        " scores alone, features stored as float32. Test Spearman in fp32, and its change:"
        " the mean, in brackets the largest.",
        "",
        "| backbone | smallest cosine | largest error | the check | head | ρ, fp32 | bf16 | trained in fp32,"
        " tested in bf16 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    noises = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        for backbone in backbones.split(","):
            rhos, differences = of_dives(backbone, seeds, dives, folder)
            noises += [each.noise for each in differences]
            cosine = min(each.parity.cosine for each in differences)
            error = max(each.parity.relative_error for each in differences)
            said = "passes" if Parity(cosine, error).good else "refuses it"
            for head in HEADS:
                lines.append(
                    f"| {backbone} | {cosine:.5f} | {error:.1%} | {said} | {head} | {changes(rhos[head])} |"
                )
                click.echo(lines[-1])
        noise = max(noises)
        lines += [
            "",
            f"{sets} sets of few, long sequences, moved by normal noise of {noise:.2%} of the features'"
            " standard deviation, the largest difference of bf16 above, and by four times that.",
            "",
            "| people of the test | head | ρ, exact | as far as bf16 | four times as far |",
            "|---|---|---|---|---|",
        ]
        for new_groups in (False, True):
            for head, rhos in of_sequences(new_groups, noise, sets, folder).items():
                lines.append(f"| {'new' if new_groups else 'known'} | {head} | {changes(rhos)} |")
                click.echo(lines[-1])
    write_section("precision cpu", "What bfloat16 does to a head's Spearman", command, lines)


if __name__ == "__main__":
    main()
