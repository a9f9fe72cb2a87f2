"""What bfloat16 features on a CPU do to a head's Spearman, on synthetic dives and on generated sequences.

    python benchmarks/bench_precision.py

Per data seed: render dives, extract features of random weights in fp32 and in bf16, train heads on each, and
score the test dives: trained and tested in one precision, and trained on fp32 and tested on bf16. The check
that refuses bf16 where it is too far from fp32 is told to pass, and what it would say is in the table.

Generated sequences have no backbone. Their features are moved by normal noise that is as large as the
difference of bf16, as a share of the features' standard deviation, and by four times that.
"""

import shlex
import sys
import tempfile
import time
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
from aqa_cache.machine.heap import keep_freed_memory
from aqa_cli.demo import FRAME_SIZE
from aqa_heads import TrainingConfig, read_run, score_table, train

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from shared_groups import make  # noqa: E402

HEADS = ("ridge", "default")
PRECISIONS = ("fp32", "bf16")
TIMES = (1, 4)
EPOCHS = 30
PEOPLE = {"known": False, "new": True}  # of the test of generated sequences


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
    asked |= {"tasks": ("score",), "seed": seed, "device": "cpu", "overwrite": True, "validation_folds": 0}
    if head != "ridge":
        asked["epochs"] = EPOCHS
    name = f"{head}-{cache.stem}"
    return train(TrainingConfig(cache, head, out=out, name=name, **asked)).folder


def spearman_on(run: Path, cache: Path) -> float:
    """Of a run, on the test samples of another cache."""
    with FeatureCache(cache) as read:
        true = {sample.sample_id: sample.final_score for sample in read.samples if sample.split == "test"}
    found = {one.sample_id: one.points for one in score_table(run, features=cache).scores}
    return float(spearmanr([found[name] for name in true], list(true.values())).statistic)


def of_dives(
    backbone: str, seed: int, dives: tuple[int, int, int], work: Path
) -> tuple[dict[str, list[float]], Difference]:
    """Per head its Spearman in fp32, in bf16, and trained in fp32 and tested in bf16; and the difference."""
    folder, rhos = work / f"dives-{seed}", {}
    folder.mkdir(parents=True, exist_ok=True)
    caches = extracted(folder, backbone, seed, dives)
    for head in HEADS:
        runs = {name: trained(cache, head, seed, folder / "runs") for name, cache in caches.items()}
        own = [read_run(run).summary["spearman"] for run in runs.values()]
        rhos[head] = [*own, spearman_on(runs["fp32"], caches["bf16"])]
    return rhos, Difference.between(caches["fp32"], caches["bf16"])


def of_sequences(new_groups: bool, noise: float, seed: int, work: Path) -> dict[str, list[float]]:
    """Per head its Spearman on generated sequences, exact, and moved."""
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
    rhos = {}
    for head in HEADS:
        runs = [trained(path, head, seed, work / "runs", folds="official", fold="0") for path in paths]
        rhos[head] = [read_run(run).summary["spearman"] for run in runs]
    return rhos


def changes(rhos: np.ndarray) -> str:
    """Cells of a table: the mean in fp32, and of every other column the mean and the largest change."""
    moved = rhos[:, 1:] - rhos[:, :1]
    cells = [f"{change.mean():+.4f} ({change[np.abs(change).argmax()]:+.4f})" for change in moved.T]
    return " | ".join([str(len(rhos)), f"{rhos[:, 0].mean():.3f}", *cells])


class Measured:
    """What has been measured so far, and the section that says it."""

    def __init__(self, dives: tuple[int, int, int], command: str):
        self._dives, self._command = dives, command
        self.rhos: dict[tuple[str, str], list[list[float]]] = {}
        self.differences: dict[str, list[Difference]] = {}

    @property
    def noise(self) -> float:
        return max(each.noise for found in self.differences.values() for each in found)

    def add(self, subject: str, rhos: dict[str, list[float]]) -> None:
        for head, row in rhos.items():
            self.rhos.setdefault((subject, head), []).append(row)
            click.echo(f"{subject}, {head}: {row}")

    def write(self, unfinished: bool) -> None:
        write_section(
            "precision cpu",
            "What bfloat16 does to a head's Spearman",
            self._command,
            self._lines(),
            unfinished=unfinished,
        )

    def _lines(self) -> list[str]:
        trained, tested, _ = self._dives
        lines = [
            f"{trained} + {tested} synthetic dives at {FRAME_SIZE} px, random weights, scores alone,"
            f" features stored as float32, at most {EPOCHS} epochs. Test Spearman in fp32, and its change:"
            " the mean over the data seeds, in brackets the largest. Seeds are as many as the time allowed.",
            "",
            "| backbone | smallest cosine | largest error | the check | head | seeds | ρ, fp32 | bf16 |"
            " trained in fp32, tested in bf16 |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for (backbone, head), rhos in self.rhos.items():
            if backbone not in self.differences:
                continue
            cosine = min(each.parity.cosine for each in self.differences[backbone])
            error = max(each.parity.relative_error for each in self.differences[backbone])
            said = "passes" if Parity(cosine, error).good else "refuses it"
            cells = changes(np.array(rhos))
            lines.append(f"| {backbone} | {cosine:.5f} | {error:.1%} | {said} | {head} | {cells} |")
        lines += [
            "",
            f"Sets of few, long sequences, moved by normal noise of {self.noise:.2%} of the features'"
            " standard deviation, the largest difference of bf16 above at that time, and by four times that.",
            "",
            "| people of the test | head | sets | ρ, exact | as far as bf16 | four times as far |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {people} | {head} | {changes(np.array(rhos))} |"
            for (people, head), rhos in self.rhos.items()
            if people in PEOPLE
        ]
        return lines


@click.command()
@click.option("--seeds", default=5, show_default=True, help="Of dives and of generated sequences, at most.")
@click.option("--backbones", default="s3d,c3d", show_default=True)
@click.option(
    "--dives", nargs=3, default=(60, 30, 6), show_default=True, help="Training, test, competitions."
)
@click.option(
    "--minutes",
    default=8.0,
    show_default=True,
    help="What takes longer than is left of them, going by its last time, is not begun.",
)
@click.option("--work", type=click.Path(path_type=Path), help="Where videos and caches stay.")
def main(seeds: int, backbones: str, dives: tuple[int, int, int], minutes: float, work: Path | None) -> None:
    """Measure what bf16 does to Spearman: every subject once, then again with other seeds while there is
    time.
    """
    measured = Measured(dives, f"python benchmarks/bench_precision.py {shlex.join(sys.argv[1:])}".strip())
    until, took = time.monotonic() + 60 * minutes, {}
    keep_freed_memory()  # as aqa-extract
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        for seed in range(seeds):
            for subject in (*backbones.split(","), *PEOPLE):
                began = time.monotonic()
                if seed and began + took.get(subject, 0.0) > until:
                    continue
                if subject in PEOPLE:
                    rhos = of_sequences(PEOPLE[subject], measured.noise, seed, folder)
                else:
                    rhos, difference = of_dives(subject, seed, dives, folder)
                    measured.differences.setdefault(subject, []).append(difference)
                measured.add(subject, rhos)
                measured.write(unfinished=True)
                took[subject] = time.monotonic() - began
    measured.write(unfinished=False)


if __name__ == "__main__":
    main()
