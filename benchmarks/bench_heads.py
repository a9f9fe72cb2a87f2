"""Every score head and every encoder on the same problems, and the best of each together.

    python benchmarks/bench_heads.py --work heads/ --minutes 240

First all heads on the mean of the clips and all encoders under `regression`, then the three best of each
crossed; beside them the default, `ridge` and `c3d-svr`. Each run is a line of `heads/runs.jsonl`, so that a
benchmark that was stopped goes on where it was: give the same command again. When the minutes are over, no
run is begun, and the table says which are lacking.

What is best is decided by the mean difference to `average` with `regression` over all problems, each in
standard deviations of that difference's own unit, the Spearman correlation on the test samples. That is a
choice on test samples, for this table alone: a user chooses by `--choose`, on validation.
"""

import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
from head_problems import PROBLEMS, Problem
from results import write_section
from scipy.stats import sem, t

HEADS = ("regression", "distribution", "gaussian", "quantile", "ordinal", "core", "judges")
ENCODERS = ("average", "statistics", "attention", "lstm", "gru", "transformer", "conv", "gdlt", "tpt")
# Needs an encoder with parts.
LIKERT = ("gdlt", "likert")
BASE = ("average", "regression")
KEPT = 3
REFERENCES = ("default", "ridge", "c3d-svr")
LINES = "runs.jsonl"


@dataclass(frozen=True)
class Row:
    """One model: an experiment of its own name, or an encoder with a score head.

    Args:
        experiment: `default` with encoder and head, or what trains as it is.
    """

    experiment: str
    encoder: str | None = None
    head: str | None = None

    @property
    def title(self) -> str:
        return self.experiment if self.encoder is None else f"{self.encoder} + {self.head}"

    def fits(self, problem: Problem) -> bool:
        return self.head != "judges" or problem.judges

    def settings(self) -> dict:
        given = {"encoder": self.encoder, "score_head": self.head}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Task:
    """One run to be made."""

    problem: str
    row: Row
    fold: str | None
    seed: int

    @property
    def key(self) -> str:
        return json.dumps([self.problem, self.row.title, self.fold, self.seed])


def rows(crossed: list[tuple[str, str]]) -> list[Row]:
    """The references, all heads, all encoders, and what is crossed, each once."""
    pairs = [("average", head) for head in HEADS] + [(encoder, "regression") for encoder in ENCODERS]
    pairs = dict.fromkeys([*pairs, LIKERT, *crossed])
    return [Row(name) for name in REFERENCES] + [Row("default", *pair) for pair in pairs]


def tasks(problems: list[Problem], models: list[Row], seeds: int) -> Iterator[Task]:
    """All runs, seed by seed, so that what is done is balanced whenever it ends."""
    for seed in range(seeds):
        for problem in problems:
            for row, fold in product(models, problem.folds or (None,)):
                if row.fits(problem):
                    yield Task(problem.name, row, fold, seed)


def run(task: Task, work: Path) -> dict:
    """Train and test one model; what a line holds."""
    from aqa_heads import TrainingConfig, train
    from aqa_heads.errors import TrainingError

    problem = next(problem for problem in PROBLEMS if problem.name == task.problem)
    began = time.perf_counter()
    line = {"key": task.key, "problem": task.problem, "row": task.row.title, "seed": task.seed}
    with tempfile.TemporaryDirectory(dir=work) as out:
        try:
            config = TrainingConfig(
                problem.make(work, task.seed),
                task.row.experiment,
                tasks=("score",),
                seed=task.seed,
                fold=task.fold,
                device="cpu",
                threads=1,
                out=out,
                **problem.asked,
                **task.row.settings(),
            )
            summary = train(config).summary
        except TrainingError as error:
            return line | {"error": str(error)}
    measured = {
        name: summary.get(name) for name in ("spearman", "relative_l2", "uncertainty", "n_train", "n_test")
    }
    floors = {name: floor and floor["spearman"] for name, floor in summary["floors"].items()}
    return line | measured | {"floors": floors, "seconds": round(time.perf_counter() - began, 1)}


def read_lines(path: Path) -> dict[str, dict]:
    """What is done, by key; a line that was cut off is done again."""
    done = {}
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        done[line["key"]] = line
    return done


def make(todo: list[Task], path: Path, processes: int, until: float) -> None:
    """Do the runs, each a line of `path` when it is done."""
    todo = todo[::-1]
    with ProcessPoolExecutor(processes) as pool, open(path, "a") as file:
        running = set()
        while running or (todo and time.monotonic() < until):
            while todo and len(running) < processes and time.monotonic() < until:
                running.add(pool.submit(run, todo.pop(), path.parent))
            done = next(as_completed(running))
            running.remove(done)
            line = done.result()
            file.write(json.dumps(line) + "\n")
            file.flush()
            said = line.get("error") or f"{line['spearman'] or 0:.3f} in {line['seconds']} s"
            click.echo(f"{line['problem']}, {line['row']}, seed {line['seed']}: {said}", err=True)


def by_row(done: dict[str, dict]) -> dict[tuple[str, str], dict[str, float]]:
    """Spearman by (problem, row) and by what the run shares with those of other rows; one that ranks nothing
    is 0.
    """
    found = defaultdict(dict)
    for key, line in done.items():
        if "error" not in line:
            _, _, fold, seed = json.loads(key)
            found[line["problem"], line["row"]][f"{fold} {seed}"] = line["spearman"] or 0.0
    return found


def differences(found: dict, problem: str, row: str, base: str) -> np.ndarray:
    """Of a row to another on a problem, of the runs that both have."""
    mine, other = found.get((problem, row), {}), found.get((problem, base), {})
    return np.array([mine[key] - other[key] for key in sorted(mine.keys() & other.keys())])


def best(found: dict, problems: list[Problem]) -> list[tuple[str, str]]:
    """The three best heads crossed with the three best encoders."""
    base = " + ".join(BASE)

    def mean(encoder: str, head: str) -> float:
        each = [differences(found, problem.name, f"{encoder} + {head}", base) for problem in problems]
        return float(np.mean([values.mean() for values in each if len(values)] or [-np.inf]))

    heads = sorted((h for h in HEADS if h != "judges"), key=lambda head: -mean("average", head))[:KEPT]
    encoders = sorted(ENCODERS, key=lambda encoder: -mean(encoder, "regression"))[:KEPT]
    return list(product(encoders, heads))


def table(done: dict[str, dict], models: list[Row], problems: list[Problem]) -> list[str]:
    """Markdown: the mean Spearman of every row on every problem, and its difference to the base."""
    found, base = by_row(done), " + ".join(BASE)
    lines = [
        "| model | " + " | ".join(problem.title for problem in problems) + " |",
        "|---" * (len(problems) + 1) + "|",
    ]
    for row in models:
        cells = []
        for problem in problems:
            values = list(found.get((problem.name, row.title), {}).values())
            if not values:
                failed = any(d["row"] == row.title and d["problem"] == problem.name for d in done.values())
                cells.append("–" if not row.fits(problem) else "refused" if failed else "not run")
                continue
            apart = differences(found, problem.name, row.title, base)
            cells.append(f"{np.mean(values):.3f}" + ("" if row.title == base else f" ({_told(apart)})"))
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    for name in ("training_mean", "group_mean", "difficulty", "class_mean"):
        cells = []
        for problem in problems:
            known = [
                d["floors"][name]
                for d in done.values()
                if d["problem"] == problem.name and "floors" in d and d["floors"].get(name) is not None
            ]
            cells.append(f"{np.mean(known):.3f}" if known else "–")
        if any(cell != "–" for cell in cells):
            lines.append(f"| floor: {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return lines


def spread_table(done: dict[str, dict], models: list[Row], problems: list[Problem]) -> list[str]:
    """Markdown: of the rows with a spread what is measured of it, means over all runs of a problem."""
    lines = []
    for row, problem in product(models, problems):
        known = [
            line["uncertainty"]
            for line in done.values()
            if line["row"] == row.title and line["problem"] == problem.name and line.get("uncertainty")
        ]
        if known:
            names = [name for name, value in known[0].items() if isinstance(value, float)]
            lines = lines or [f"| model | problem | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
            means = [np.mean([each[name] for each in known if each.get(name) is not None]) for name in names]
            lines.append(f"| {row.title} | {problem.title} | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return lines


def _told(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{values.mean():+.3f}" if len(values) else "no pair"
    half = t.ppf(0.975, len(values) - 1) * sem(values)
    return f"{values.mean():+.3f} ± {half:.3f}"


_SETTING = (
    "**Nothing here saw a video of people.** MTL-AQA's labels have features of the commentary in the place of"
    " video (windows of 12 words, numbers taken out, TF-IDF and SVD fitted on training captions; official"
    " split); the dives are rendered, C3D has random weights; the sequences are generated, 38 samples of 8"
    " people, one of their four folds."
)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("heads"), show_default=True)
@click.option(
    "--minutes", type=click.FloatRange(0), default=240, show_default=True, help="Of all runs together."
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--processes", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--only", multiple=True, type=click.Choice([p.name for p in PROBLEMS]), help="Writes nothing.")
def main(work: Path, minutes: float, seeds: int, processes: int, only: tuple[str, ...]) -> None:
    """Test Spearman of all heads and encoders on all problems, as a table in RESULTS.md."""
    until = time.monotonic() + 60 * minutes
    work.mkdir(parents=True, exist_ok=True)
    path = work / LINES
    problems = [p for p in PROBLEMS if p.needs is None or p.needs.is_dir()]
    problems = [p for p in problems if not only or p.name in only]
    for lacking in [p.title for p in PROBLEMS if p.needs is not None and not p.needs.is_dir()]:
        click.echo(f"left out: {lacking}; set AQA_MTL_AQA to the folder of MTL-AQA", err=True)
    for problem, seed in product(problems, range(seeds)):
        problem.make(work, seed)
    crossed = []
    for _ in range(2):  # what is crossed is known when the first rows are done
        models = rows(crossed)
        done = read_lines(path)
        make(
            [task for task in tasks(problems, models, seeds) if task.key not in done], path, processes, until
        )
        crossed = best(by_row(read_lines(path)), problems)
    done = read_lines(path)
    lacking = sum(task.key not in done for task in tasks(problems, models, seeds))
    lines = [
        _SETTING,
        "",
        (
            f"Mean Spearman on the test samples over up to {seeds} seeds, of as many as were run; in brackets"
            f" the paired difference to `{' + '.join(BASE)}` and its 95 % interval (Student's t over runs)."
            " Crossed are the three best"
            " heads and encoders by that difference."
        ),
        "",
        *table(done, models, problems),
    ]
    if spread := spread_table(done, models, problems):
        lines += ["", "What the spread of the heads that have one is worth:", "", *spread]
    hours = sum(line.get("seconds", 0) for line in done.values()) / 3600
    lines += [
        "",
        f"`judges` knows the difficulty. {len(done)} runs, {hours:.1f} hours of one core"
        + (f"; {lacking} not run." if lacking else "."),
    ]
    click.echo("\n".join(lines))
    if not only:
        command = f"python benchmarks/bench_heads.py --seeds {seeds} --minutes {minutes:g}"
        write_section("heads", "Heads and encoders", command, lines)


if __name__ == "__main__":
    main()
