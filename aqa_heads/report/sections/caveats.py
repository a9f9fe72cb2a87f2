"""What has to be known to read the results: what they amount to, what makes rows hard to compare, what the
columns mean.
"""

from collections.abc import Sequence

import numpy as np

from ...evaluation.bootstrap import RESAMPLES, resampled_spearman
from ...settings.experiments import EXPERIMENTS
from ..families import Family
from ..floors import FLOORS
from ..html import element
from ..records import finite
from ..report import Report
from ..results import Result
from ..wording import (
    backbone_of,
    counted,
    grouped,
    leaked_from_backbone,
    listed,
    names_of,
    rho_text,
    signed,
    started_from,
    whose,
)

PROTOCOLS = {
    "honest": (
        "some training samples are held out, whole groups where there are enough; the epoch that ranks them"
        " best is reported, and the test samples are looked at once, at the end"
    ),
    "paper": (
        "test evaluated every epoch, last epoch reported, nothing chosen on the test set; best-on-test is"
        " shown only as a curve and in the list below"
    ),
}
DIFFICULTIES = {
    "ignore": "predict the final score",
    "multiply": "predict the execution and multiply it by the difficulty, which is known beforehand",
}
_SPREADS = {
    ("seeds",): "seeds",
    ("folds",): "folds",
    ("folds", "seeds"): "seeds, or over folds where there is one seed",
}
_BEFORE_TUNING = ", both by the features that the backbone gave before it was trained"
# Larger than what rounding in predictions.csv can do to a rank correlation.
_DISAGREE = 0.005


def findings(report: Report) -> str:
    """What the correlations amount to, beside the highest floor and the ceiling."""
    families, ranked = report.families, report.ranked
    if not ranked:
        return (
            "No run has a correlation: its test samples have no scores, or every sample was given the same"
            " score."
        )
    top = max(family.number("spearman") for family in ranked)
    best = [family for family in ranked if family.number("spearman") == top]
    first = (
        f"The highest correlation is that of {names_of(best)}: "
        if len(ranked) > 1
        else f"{best[0].short} reaches "
    )
    sentences = [f"{first}ρ = {rho_text(best[0], report.intervals.of(best[0]))}. "]
    floors = [(floor.rho, floor.title) for floor in report.floors if floor.rho is not None]
    if floors and len({family.tested_on for family in families}) == 1:
        rho, name = max(floors)
        above = [family for family in ranked if family.number("spearman") > rho]
        intervals = [report.intervals.of(family) for family in above]
        clear = sum(interval is not None and interval[0] > rho for interval in intervals) or "none"
        lie = (
            f"{len(above) or 'none'} of {counted(len(ranked), 'row')} {'lies' if len(above) < 2 else 'lie'}"
            " above it"
        )
        sentences.append(
            f"The highest floor, {name.lower()}, reaches {signed(rho)} without seeing the video; "
            + (f"{lie}, {clear} with the whole interval. " if above else f"{lie}. ")
        )
    ceilings = [family.first.ceiling for family in families]
    judges = {ceiling.spearman for ceiling in ceilings if ceiling is not None} - {None}
    if len(judges) == 1:
        sentences.append(
            f"One judge agrees with the others at {signed(judges.pop())}, which is what seeing everything is"
            " worth. "
        )
    if all(len(family.seeds) > 1 for family in ranked):
        sentences.append(
            "The intervals cover which samples happened to be in the test set; ± is the spread over seeds,"
            " over which the numbers are averaged."
        )
    elif any(len(family.seeds) > 1 for family in ranked):
        sentences.append(
            "The intervals cover which samples happened to be in the test set; ± is the spread over seeds,"
            " and the luck of the seed is not seen in rows that have none."
        )
    else:
        sentences.append(
            "The intervals cover which samples happened to be in the test set; they do not cover the luck of"
            " the seed, which only several runs of one row can show."
        )
    return "".join(sentences)


def warnings(report: Report) -> list[str]:
    """What makes rows hard to compare, or not to be trusted."""
    families = report.families
    return [
        *_leaks(families),
        *_mixtures(families),
        *_different_tests(families),
        *_equal_predictions(families),
        *_incomplete_folds(families),
        *(line for family in families for result in family.results for line in _disagreement(result)),
    ]


def _leaks(families: Sequence[Family]) -> list[str]:
    lines = []
    for family in families:
        if leaked := [result for result in family.results if result.leaked]:
            count = max(result.leaked for result in leaked)
            why = {
                False: "are, in part, training samples too",
                True: "are known to the backbone, which learned from them before",
            }
            said = " or ".join(
                why[of_backbone] for of_backbone in sorted(leaked_from_backbone(family) or {False})
            )
            lines.append(
                f"LEAKED TEST: {count:,} test samples of {family.short} {said}. None of its numbers can be"
                " taken for what the model does on new samples."
            )
    return lines


def _mixtures(families: Sequence[Family]) -> list[str]:
    lines = []
    protocols = grouped(families, lambda family: str(family.asked.protocol or "not recorded"))
    if len(protocols) > 1:
        who = "; ".join(f"{protocol}: {names_of(owners)}" for protocol, owners in protocols.items())
        lines.append(f"Not all rows are comparable: they follow different protocols. {who}.")
    scored = [family for family in families if family.truth]
    difficulties = grouped(scored, lambda family: str(family.asked.difficulty or "ignore"))
    if len(difficulties) > 1:
        who = "; ".join(
            f"{names_of(owners)}: {DIFFICULTIES.get(name, name)}" for name, owners in difficulties.items()
        )
        lines.append(
            "Not all rows are comparable: some are told the difficulty of the test samples, others not."
            f" {who}."
        )
    features = grouped(families, _origin)
    if len(features) > 1:
        who = "; ".join(f"{names_of(owners)} {_features_in_words(owners[0])}" for owners in features.values())
        kinds = {family.end_to_end for family in families}
        why = (
            "some trained the backbone too, others read features of one that was not trained with them"
            if len(kinds) > 1
            else (
                "the runs"
                f" {'started from different backbones' if kinds == {True} else 'read different features'}"
            )
        )
        lines.append(f"Not all rows are directly comparable: {why}. {who}.")
    return lines


def _origin(family: Family) -> tuple:
    """Equal in rows that read the same features, and in rows that trained a backbone from the same start."""
    tuning = family.fine_tuning
    of_start = tuning and (tuning.started_sha256 or tuning.started_from)
    return (
        family.end_to_end,
        str(of_start or family.features.fingerprint),
        family.features.backbone,
    )


def _features_in_words(family: Family) -> str:
    if family.end_to_end:
        return f"with {backbone_of(family)} trained from {started_from(family)}"
    return f"on {str(family.features.fingerprint)[:12]} ({backbone_of(family)})"


def _different_tests(families: Sequence[Family]) -> list[str]:
    tests = grouped(families, lambda family: family.tested_on)
    if len(tests) > 1:
        who = "; ".join(
            f"{names_of(owners)} on {counted(len(ids), 'sample')}" for ids, owners in tests.items()
        )
        return [f"Not all rows are comparable: the runs were tested on different samples. {who}."]
    truths = grouped((family for family in families if family.truth), lambda family: family.tests)
    if len(truths) > 1:
        who = "; ".join(names_of(owners) for owners in truths.values())
        return [f"Not all rows are comparable: the test samples have different true scores in them. {who}."]
    return []


def _equal_predictions(families: Sequence[Family]) -> list[str]:
    groups = grouped(
        (family for family in families if family.truth), lambda family: family.predictions
    ).values()
    equal = [owners for owners in groups if len(owners) > 1]
    if not equal:
        return []
    names = list(map(names_of, equal))
    why = (
        " On cached features the captioner trains nothing that scores and classes use, so rows that differ"
        " only in the captioner (RNN cell, stacked cells, attention) differ only in captions, loss and cost;"
        " in the paper they share a backbone that is trained with them."
    )
    explained = any(sum(not family.end_to_end for family in owners) > 1 for owners in equal)
    return [
        f"{'; so do '.join([f'{names[0]} predict the same scores', *names[1:]])}."
        + (why if explained else "")
    ]


def _incomplete_folds(families: Sequence[Family]) -> list[str]:
    lines = []
    for family in families:
        if not family.folds:
            continue
        total = family.folds[0].rpartition("/")[2]
        total = int(total) if "/" in family.folds[0] and total.isdecimal() else len(family.folds)
        expected = total * len(family.seeds)
        if len(family.results) != expected:
            lines.append(
                f"{family.short} has {len(family.results)} of {expected} folds: its average is not that of"
                " all samples."
            )
    return lines


def _disagreement(result: Result) -> list[str]:
    true, predicted = result.scores
    # scipy, which the summary's was made with, takes a second to import.
    once = np.ones((1, len(true)), int)
    found = resampled_spearman(true, predicted[None], once).item() if len(true) > 1 else None
    said, found = result.number("spearman"), finite(found)
    if (said is None) == (found is None) and (said is None or abs(said - found) <= _DISAGREE):
        return []
    said, found = ("an undefined ρ" if rho is None else f"ρ = {signed(rho)}" for rho in (said, found))
    return [
        f"{result.short}: summary.json says {said} but predictions.csv gives {found}; the two files are not"
        " of one run."
    ]


def notes(report: Report) -> list[list]:
    """What the columns mean; each note is a list of the parts of one paragraph."""
    families = report.families
    star = [element("b", "*"), " Not quite this row of Table 1: what differs is said beside it."]
    return [
        *_how_evaluated(families),
        *([star] if any("*" in family.short for family in families) else []),
        *([[element("b", "Interval"), *said]] if (said := _interval_note(report)) else []),
        *_spread_notes(families),
        [
            element("b", "Relative L2"),
            ": 100 times the mean squared error over the squared range of the test scores. ",
            element("b", "MAE"),
            ": mean absolute error. ",
            element("b", "Training loss"),
            ": of the last epoch. ",
            element("b", "Time"),
            f": {_whole_run(families)}. ",
            element("b", "Parameters"),
            f": of what was trained; {_backbones(families)}.",
        ],
        *_beside_notes(report),
        *_absent_rows(families),
    ]


def _spread_notes(families: Sequence[Family]) -> list[list]:
    spread = {family.spread_over for family in families} - {""}
    if not spread:
        return []
    said = (
        f": standard deviation over {_SPREADS[tuple(sorted(spread))]} (divisor n − 1); the value is the plain"
        " average over the runs."
    )
    return [[element("b", "±"), said]]


def _beside_notes(report: Report) -> list[list]:
    """What floors and ceiling are, where there are any."""
    notes = []
    present = [name for name in FLOORS if any(floor.name == name for floor in report.floors)]
    if present:
        said = "; ".join(f"{FLOORS[name][0].lower()} {FLOORS[name][1]}" for name in present)
        differ = any(floor.rho is not None and floor.rho > floor.lowest for floor in report.floors)
        highest = (
            " Where rows were trained on other samples, the highest of their floors counts." if differ else ""
        )
        said = (
            f" are predictions without the video: {said}. A run that does not rise above them has not shown"
            f" that it learned from the video.{highest}"
        )
        notes.append([element("b", "Floors"), said])
    if any(family.first.ceiling is not None for family in report.families):
        said = (
            " (ceiling): Spearman’s ρ between one judge’s marks and the mean of the others’, times the"
            " difficulty where it is known; the mean over the judges. No hard limit, since the final score is"
            " of several judges."
        )
        notes.append([element("b", "One judge"), said])
    return notes


def _absent_rows(families: Sequence[Family]) -> list[list]:
    made = {family.experiment for family in families}
    absent = [row.title for name, row in EXPERIMENTS.items() if name not in made]
    if not 0 < len(absent) < len(EXPERIMENTS):
        return []
    return [[f"Rows of the paper’s Table 1 without a run here: {listed(absent)}."]]


def _whole_run(families: Sequence[Family]) -> str:
    cached = "the whole run on cached features, without their extraction"
    trained = "the whole run end to end, without the decoding of the videos, which is done once"
    return "; ".join(
        text
        for text, kind in ((cached, False), (trained, True))
        if any(f.end_to_end == kind for f in families)
    )


def _backbones(families: Sequence[Family]) -> str:
    trained = [family for family in families if family.end_to_end]
    if not trained:
        return "the backbone was not"
    return (
        f"the backbone was too{''.join(f', in {names}' for names in whose(trained, families))}, but for"
        " frozen layers"
    )


def _how_evaluated(families: Sequence[Family]) -> list[list]:
    notes = []
    for protocol, owners in grouped(families, lambda f: str(f.asked.protocol or "not recorded")).items():
        meaning = f": {PROTOCOLS[protocol]}" if protocol in PROTOCOLS else ""
        notes.append(
            [
                element("b", "Protocol"),
                *(f" of {who}" for who in whose(owners, families)),
                f": {protocol}{meaning}.",
            ]
        )
    own = [family for family in families if family.asked.direct and not family.asked.literal]
    for end_to_end, owners in grouped(own, lambda family: family.end_to_end).items():
        said = (
            f": {'not trained' if end_to_end else 'trained as suits cached features, not'} as in the paper:"
            " standardised features, and a score that starts from a ridge regression of the mean clip"
            f" feature{_BEFORE_TUNING if end_to_end else ''}. --literal trains the paper’s model with its"
            " settings."
        )
        notes.append(
            [element("b", "Default settings"), *(f" of {who}" for who in whose(owners, families)), said]
        )
    best = [
        f"{result.short} {signed(result.best_on_test.spearman)} (epoch {result.best_on_test.epoch})"
        for family in families
        for result in family.results
        if result.best_on_test.spearman is not None
    ]
    if best:
        said = (
            ": the highest ρ that any epoch had. Chosen on the test set, so these are not results:"
            f" {'; '.join(best)}."
        )
        notes.append([element("b", "Best on the test set"), said])
    told = [family for family in families if family.asked.difficulty == "multiply"]
    if told:
        who = "".join(f" of {names}" for names in whose(told, families))
        notes.append([element("b", "Execution × difficulty"), f": the runs{who} {DIFFICULTIES['multiply']}."])
    return notes


def _interval_note(report: Report) -> list[str]:
    intervals = [family for family in report.families if report.intervals.of(family)]
    if not intervals:
        return []
    said = [f": percentiles of {RESAMPLES:,} resamples of the test samples, seed 0."]
    in_groups = [family for family in intervals if 0 < len(family.groups) < len(family.truth)]
    for groups, owners in grouped(in_groups, lambda family: len(family.groups)).items():
        who = "".join(f" of {names}" for names in whose(owners, intervals))
        said.append(
            f" The samples{who} are taken as independent; they come from {counted(groups, 'group')}, so the"
            " true uncertainty is larger."
        )
    return said
