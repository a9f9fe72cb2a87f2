"""What has to be known to read the results: what makes rows hard to compare, and how they were made."""

from collections.abc import Sequence

import numpy as np

from ...evaluation.bootstrap import resampled_spearman
from ...settings.experiments import EXPERIMENTS
from ..families import Family
from ..html import element, term
from ..records import finite
from ..report import Report
from ..results import Result
from ..wording import (
    backbone_of,
    began_random,
    counted,
    grouped,
    leaked_from_backbone,
    listed,
    names_of,
    signed,
    started_from,
    whose,
)

PROTOCOLS = {
    "honest": ("held-out training samples chose the epoch, and the test samples were looked at once"),
    "paper": ("tested after every epoch, the last one reported, nothing chosen on the test set"),
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
_BEFORE_TUNING = ", both by the features from before the backbone was trained"
# Larger than what rounding in predictions.csv can do to a rank correlation.
_DISAGREE = 0.005


def warnings(report: Report) -> list[str]:
    """What makes rows hard to compare, or not to be trusted."""
    families = report.families
    return [
        *_leaks(families),
        *_random_weights(families),
        *_mixtures(families),
        *_different_tests(families),
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


def _random_weights(families: Sequence[Family]) -> list[str]:
    trained = [family for family in families if began_random(family)]
    cached = [
        family
        for family in families
        if family.features.weights_random and not family.end_to_end and family.tuned_in is None
    ]
    said = []
    if cached:
        who = " of ".join(["Features", *whose(cached, families)])
        said.append(
            f"{who} come from random weights: the numbers show that the pipeline works, not what the models"
            " can do."
        )
    if trained:
        who = " of ".join(["The backbone", *whose(trained, families)])
        said.append(
            f"{who} started from random weights: all it knows it has learned in fine-tuning, so the numbers"
            " do not show what a backbone trained on many videos can do."
        )
    return said


def _mixtures(families: Sequence[Family]) -> list[str]:
    lines = []
    families = [family for family in families if not family.foreign]
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
    """How to read the results; each note is a list of the parts of one paragraph."""
    families = report.families
    return [
        *_how_evaluated(families),
        *_spread_notes(families),
        *_floor_notes(report),
        *_equal_rows(report),
        *_left_out_classes(families),
        *_absent_rows(families),
    ]


def _spread_notes(families: Sequence[Family]) -> list[list]:
    spread = {family.spread_over for family in families} - {""}
    if not spread:
        return [["An interval does not cover the luck of the seed, which only several seeds of a row show."]]
    said = f": standard deviation over {_SPREADS[tuple(sorted(spread))]}; the value is the plain average."
    return [[element("b", "±"), said]]


def _floor_notes(report: Report) -> list[list]:
    if not any(floor.rho is not None and floor.rho > floor.lowest for floor in report.floors):
        return []
    return [["Where rows were trained on other samples, the highest of their floors counts."]]


def _equal_rows(report: Report) -> list[list]:
    """Why several rows are one."""
    joint = [row for row in report.distinct if row.alike]
    if not joint:
        return []
    said = f"{names_of(joint)}: the same scores to the bit, so one row."
    if any(sum(not row.end_to_end for row in family.alike) > 1 for family in joint):
        said += " On cached features the captioner trains nothing that scores and classes use."
    return [[said]]


def _left_out_classes(families: Sequence[Family]) -> list[list]:
    one = {
        name.replace("_", " ")
        for family in families
        for name, share in family.table("majority_accuracy").items()
        if share == 1
    }
    said = f"Mean class accuracy leaves out {listed(sorted(one))}: one value in all test samples."
    return [[said]] if one else []


def _absent_rows(families: Sequence[Family]) -> list[list]:
    made = {family.experiment for family in families}
    absent = [row.title for name, row in EXPERIMENTS.items() if name not in made]
    if not 0 < len(absent) < len(EXPERIMENTS):
        return []
    return [[f"Rows of the paper’s Table 1 without a run here: {listed(absent)}."]]


def _how_evaluated(families: Sequence[Family]) -> list[list]:
    notes = []
    own = [family for family in families if not family.foreign]
    for protocol, owners in grouped(own, lambda f: str(f.asked.protocol or "not recorded")).items():
        meaning = f": {PROTOCOLS[protocol]}" if protocol in PROTOCOLS else ""
        who = (f" of {who}" for who in whose(owners, own))
        notes.append([term("Protocol"), *who, f" {protocol}{meaning}."])
    notes += _not_as_in_the_paper(families)
    best = [
        f"{result.short} {signed(result.best_on_test.spearman)} (epoch {result.best_on_test.epoch})"
        for family in families
        for result in family.results
        if result.best_on_test.spearman is not None
    ]
    if best:
        said = f": the highest ρ of any epoch, chosen on the test samples, so no result: {'; '.join(best)}."
        notes.append([element("b", "Best on the test set"), said])
    told = [family for family in families if family.asked.difficulty == "multiply"]
    if told:
        who = "".join(f" of {names}" for names in whose(told, families))
        notes.append([element("b", "Execution × difficulty"), f": the runs{who} {DIFFICULTIES['multiply']}."])
    return notes


def _not_as_in_the_paper(families: Sequence[Family]) -> list[list]:
    """Said of rows of Table 1 alone: nobody else asked for the paper's."""
    own = [family for family in families if family.asked.direct and not family.asked.literal]
    own = [family for family in own if family.experiment in EXPERIMENTS]
    notes = []
    for end_to_end, owners in grouped(own, lambda family: family.end_to_end).items():
        who = "".join(f" of {names}" for names in whose(owners, families))
        before = _BEFORE_TUNING if end_to_end else ""
        said = (
            f"{who}: not trained as in the paper; standardised features, and a score that starts from a ridge"
            f" regression{before}. --literal trains the paper’s."
        )
        notes.append([element("b", "Settings"), said])
    return notes
