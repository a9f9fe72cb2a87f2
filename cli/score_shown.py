"""Scores as a person reads them in a terminal."""

from collections.abc import Sequence

from rich.table import Table

from aqa_cache.errors import some
from aqa_cache.logs import log_failures
from aqa_cli.console import console
from aqa_cli.terminal import print_line
from aqa_heads.scoring.comparison import Comparison
from aqa_heads.scoring.flags import flag_names
from aqa_heads.scoring.results import Flag, Panel, Score, ScoreTable

_BAR, _SHOWN = 24, 50
_WIDE = 110  # columns that classes and the most alike take room in; below the table they stand for a few
_FEW = 3  # so many are shown one by one, too


def show(table: ScoreTable) -> None:
    """Print a table of all, the best first, what a few of them are made of, and what failed."""
    scale = _scale(table)
    if table.scores:
        on = console(width_elsewhere=120)
        on.print(_table(table.scores, scale, table.by_fit, on.width >= _WIDE))
    if len(table.scores) > _SHOWN:
        print_line(f"… and {len(table.scores) - _SHOWN} more; -o FOLDER writes all")
    if len(table.scores) <= _FEW:
        for score in table.scores:
            _show_one(score)
    else:
        said = [(score.sample_id, _flagged(flag)) for score in table.scores for flag in score.flags]
        said += [(score.sample_id, note) for score in table.scores for note in score.notes]
        noted: dict[str, list[str]] = {}
        for sample_id, note in said:
            noted.setdefault(note, []).append(sample_id)
        for note, samples in list(noted.items())[:_SHOWN]:
            print_line(f"{some(samples)}: {note}")
        if len(noted) > _SHOWN:
            print_line(f"… and {len(noted) - _SHOWN} more notes; -o FOLDER writes all")
    if table.comparison is not None:
        _show_comparison(table.comparison)
    for note in dict.fromkeys((*table.notes, *(score.interval_note for score in table.scores))):
        if note:
            print_line(f"Note: {note}")
    log_failures(table.failures)


def bar(low: float, points: float, high: float, scale: tuple[float, float]) -> str:
    """An interval on a scale: `──●──` where it lies, dots elsewhere; what lies beyond an end is at it."""
    width = (scale[1] - scale[0]) or 1.0
    first, middle, last = (
        min(_BAR - 1, max(0, round((value - scale[0]) / width * (_BAR - 1)))) for value in (low, points, high)
    )
    return "".join(
        "●" if place == middle else "─" if first <= place <= last else "·" for place in range(_BAR)
    )


def _scale(table: ScoreTable) -> tuple[float, float] | None:
    """From the lowest to the highest of training scores, predictions and ends of intervals."""
    shown = [score.points for score in table.scores if score.points is not None]
    shown += [end for score in table.scores for end in score.interval or ()]
    shown += table.scale or ()
    return (min(shown), max(shown)) if shown else None


def _table(
    scores: Sequence[Score], scale: tuple[float, float] | None, by_fit: bool = False, wide: bool = True
) -> Table:
    def known(name: str) -> bool:
        return any(getattr(score, name) not in (None, (), {}) for score in scores)

    right, whole = {"justify": "right"}, {"no_wrap": True}
    low, high = scale or (0.0, 0.0)
    columns = [  # whether it is shown, its header and style, and what it says of a sample
        (True, "sample", {"overflow": "fold", "min_width": 8}, lambda one: one.sample_id),
        (by_fit, "as far", right, lambda one: f"{one.share_as_far or 0:.0%}"),
        (True, "points", right | whole, lambda one: _number(one.points)),
        (known("spread"), "±", right, lambda one: _number(one.spread)),
        (known("interval"), "interval", right | whole, _interval),
        (known("interval"), f"{low:.1f} to {high:.1f}", whole, lambda one: _interval_drawn(one, (low, high))),
        (known("final_score"), "true", right, lambda one: _number(one.final_score)),
        (known("panel"), "judge furthest from the others", right, lambda one: _furthest(one.panel)),
        (wide and known("classes"), "classes", {}, _likeliest),
        (wide and known("neighbours"), "most like", {}, _most_like),
        (known("flags"), "flags", whole, lambda one: " ".join(flag_names(one))),
    ]
    shown = [column for column in columns if column[0]]
    table = Table()
    for _, header, style, _ in shown:
        table.add_column(header, **style)
    for score in scores[:_SHOWN]:
        table.add_row(*(cell(score) for *_, cell in shown))
    return table


def _interval(score: Score) -> str:
    return f"{score.interval[0]:.1f} to {score.interval[1]:.1f}" if score.interval else ""


def _interval_drawn(score: Score, scale: tuple[float, float]) -> str:
    if score.interval is None or score.points is None:
        return ""
    return bar(score.interval[0], score.points, score.interval[1], scale)


def _likeliest(score: Score) -> str:
    return ", ".join(next(iter(likely)) for likely in score.classes.values())


def _most_like(score: Score) -> str:
    return ", ".join(near.sample.sample_id for near in score.neighbours[:1])


def _show_one(score: Score) -> None:
    print_line(score.sample_id)
    for column, likely in score.classes.items():
        most = list(likely.items())[:_FEW]
        print_line(f"  {column}: " + ", ".join(f"{name} {probability:.0%}" for name, probability in most))
    if score.caption is not None:
        print_line(f"  caption: {score.caption}")
    if made := score.contributions:
        what = "adds, exactly" if made.exact else "adds (what the score loses without it)"
        print_line(f"  what each clip {what}, in points:")
        largest = max((abs(clip.points) for clip in made.clips), default=0) or 1
        for clip in made.clips:
            when = "" if clip.pts_seconds is None else f", {clip.pts_seconds:.1f} s"
            drawn = ("+" if clip.points > 0 else "-") * round(abs(clip.points) / largest * _BAR)
            print_line(f"    from frame {clip.first_frame}{when}: {clip.points:+8.2f}  {drawn}")
        print_line(f"    the rest: {made.remainder:.2f}")
    if score.panel:
        _show_panel(score.panel)
    if score.neighbours:
        print_line("  most alike of the training samples:")
        for near in score.neighbours:
            scored = "no score" if near.sample.final_score is None else f"{near.sample.final_score:g} points"
            marks = " ".join(f"{mark:g}" for mark in near.sample.judges)
            marked = f", marks {marks}" if marks else ""
            said = "" if near.sample.caption is None else f", “{near.sample.caption}”"
            print_line(f"    {near.sample.sample_id}: {scored} (cosine {near.similarity:.3f}){marked}{said}")
    for flag in score.flags:
        print_line(f"  {_flagged(flag)}")
    for note in score.notes:
        print_line(f"  note: {note}")


def _flagged(flag: Flag) -> str:
    return f"have a person look at it: {flag.reason}"


def _show_panel(panel: Panel) -> None:
    marks = ", ".join(f"{judge.number}: {judge.mark:g}" for judge in panel.judges)
    print_line(f"  the judges' marks: {marks}")
    if panel.points is not None:
        print_line(f"    {panel.rule}: {panel.points:.2f} points")
    elif panel.rule:
        print_line(f"    {panel.rule}: no points without the difficulty")
    else:
        print_line(
            "    by which rule they make a score is not known: no scores with marks and difficulty are, or"
            " they follow none"
        )
    if panel.predicted_mark is not None:
        print_line(f"    the predicted score is that of a mark of {panel.predicted_mark:.2f} by each")
    if (judge := panel.furthest_judge) is None:
        print_line("    all gave the same")
        return
    side = "above" if judge.deviation > 0 else "below"
    share = (
        "" if panel.share_as_far is None else f", as far as in {panel.share_as_far:.0%} of training panels"
    )
    print_line(
        f"    furthest from the others: judge {judge.number}, {abs(judge.deviation):.2f} {side} their"
        f" mean{share}"
    )
    if judge.points_without is not None:
        print_line(f"    with their mean in its place: {judge.points_without:.2f} points")


def _furthest(panel: Panel | None) -> str:
    judge = panel.furthest_judge if panel else None
    return "" if judge is None else f"{judge.number}: {judge.deviation:+.1f}"


def _show_comparison(made: Comparison) -> None:
    print_line(f"{made.first} less {made.second}: {made.difference:+.2f} points; {made.in_words}")
    if made.interval is not None:
        low, high = made.interval
        scale = min(low, 0.0), max(high, 0.0)
        print_line(f"  {low:+.1f} to {high:+.1f}  {bar(low, made.difference, high, scale)}")
    if made.parts:
        print_line("  clip by clip, in points:")
    for number, part in enumerate(made.parts, 1):
        both = f"{part.first_points:+8.2f} less {part.second_points:+8.2f}"
        print_line(f"    {number}: {both}: {part.difference:+8.2f}")
    if made.parts:
        print_line(f"    the rest: {made.remainder:+.2f}")
    print_line(f"  how sure: {made.note}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
