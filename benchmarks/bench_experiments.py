"""The paper's experiments on synthetic dives at the paper's size: what `aqa-demo --full --seeds 3` found, as
a section of RESULTS.md.

The demo takes its time; this reads the runs that it left behind::

    aqa-demo --full --seeds 3 --out aqa-demo
    python benchmarks/bench_experiments.py aqa-demo/runs
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from results import write_section

from aqa_heads.report.families import Family, read_families
from aqa_heads.report.floors import floor_name
from aqa_heads.report.report import Report
from aqa_heads.report.results import find_runs


@click.command()
@click.argument("runs", type=click.Path(path_type=Path))
@click.option("--made-by", default="aqa-demo --full --seeds 3", show_default=True, help="What made the runs.")
@click.option("--name", default="experiments", show_default=True, help="Of the section.")
@click.option("--title", default="The eight experiments on synthetic dives", show_default=True)
def main(runs: Path, made_by: str, name: str, title: str) -> None:
    """Write the results of RUNS, a folder of run folders, into RESULTS.md."""
    report = Report.of(read_families(find_runs([runs])))
    families = report.families
    first = families[0].first
    seeds = max(len(family.results) for family in families)
    summary = first.summary
    lines = [
        (
            f"{summary['n_train']:g} training, {summary['n_val']:g} validation and {summary['n_test']:g} test"
            " dives of other competitions (those of the first run; other seeds hold out other groups),"
            f" features of random weights, {seeds} seeds, at most {first.config['epochs']} epochs, protocol"
            f" {first.config['protocol']}. ρ: mean ± standard deviation over the seeds; the interval (95 %)"
            " is over the test dives, taken as independent. Difference: ρ minus the baseline's, both"
            " resampled on the same dives. Captions: nats per token on the test dives, beside the unigram"
            " loss."
        ),
        "",
        (
            "| experiment | test ρ | 95 % interval | difference to baseline | R-l2 | class accuracy | caption"
            " loss | unigram | CIDEr | s a run |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(report, family) for family in families),
        "",
        "| without video | test ρ | R-l2 |",
        "|---|---|---|",
        *(
            f"| {floor_name(key)} | {_number(floor.spearman)} | {_number(floor.relative_l2, 2)} |"
            for key, floor in families[0].floors.items()
        ),
        "",
        *_shared(families),
    ]
    if first.ceiling:
        lines.append(f"\nOne judge against the others: ρ {_number(first.ceiling.spearman)}.")
    write_section(name, title, f"{made_by}; python benchmarks/bench_experiments.py", lines)
    click.echo("\n".join(lines))


def _row(report: Report, family: Family) -> str:
    baseline, interval = report.families[0], report.intervals.of(family)
    rho, spread = family.number("spearman"), family.std(family.numbers("spearman"))
    difference = None if family is baseline else report.intervals.difference(family, baseline)
    accuracy = [value for value in family.table("class_accuracy").values() if value is not None]
    cider = [result.numbers("captions").get("cider") for result in family.results]
    cider = [value for value in cider if value is not None]
    cells = [
        family.label,
        f"{_number(rho)} ± {_number(spread)}",
        "–" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}",
        (
            "–"
            if difference is None or difference.low is None
            else f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
        ),
        _number(family.number("relative_l2"), 2),
        f"{100 * np.mean(accuracy):.1f} %" if accuracy else "–",
        _number(family.number("caption_loss_per_token")),
        _number(family.number("unigram_loss")),
        _number(float(np.mean(cider)) if cider else None, 2),
        _number(family.seconds, 0),
    ]
    return "| " + " | ".join(cells) + " |"


def _shared(families: Sequence[Family]) -> list[str]:
    """Which rows predict the same scores."""
    same: dict = {}
    for family in families:
        same.setdefault(family.predictions, []).append(family.short)
    return [f"- the same scores to the bit: {', '.join(names)}" for names in same.values() if len(names) > 1]


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
