"""How much each clip counts in the score, where the encoder weighs clips."""

from collections import defaultdict

import numpy as np

from ...errors import RunError
from ..attachments import Attachments
from ..families import Family
from ..figures import draw_matrix
from ..html import Markup, Section, element, join
from ..report import Report
from ..wording import colour_key, names_of, runs_text

_SAMPLES = 3


def contributions_section(report: Report, attachments: Attachments) -> Section | None:
    """Mean weight by clip and those of single samples, a figure per row; nothing where no encoder has
    weights.
    """
    weighing = [(family, weights) for family in report.distinct if (weights := _weights(family))]
    if not weighing:
        return None
    rows = (
        [family.short, sample, clip, weight]
        for family, weights in weighing
        for sample, of_sample in weights.items()
        for clip, weight in enumerate(of_sample)
    )
    attachments.table(
        "contributions",
        ["row", "sample_id", "clip", "weight"],
        rows,
        "weight of every clip of the test samples, means over the runs of a row",
    )
    aside = (
        "Weight of each clip in the feature that scores and classes are made of, in percent. First the mean"
        f" over the test samples, then the {_SAMPLES} with the lowest and the highest scores. Weights say"
        " what was mixed in, not why a score is high or low."
    )
    drawn = (_figure(family, weights, attachments) for family, weights in weighing)
    content = element("p", aside, class_="note"), element("div", *drawn, class_="matrices")
    return Section("Which clips count", content, names_of(family for family, _ in weighing))


def _weights(family: Family) -> dict[str, np.ndarray]:
    """Per test sample the weights of its clips, averaged over the runs that tested it."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for result in family.results:
        of_run: dict[str, dict[int, float]] = defaultdict(dict)
        for row in result.clip_weights("contributions.csv"):
            of_run[row["sample_id"]][row["clip"]] = row["weight"]
        for sample in result.tested_on & of_run.keys():
            found[sample].append([weight for _, weight in sorted(of_run[sample].items())])
    for sample, runs in found.items():
        if len({len(weights) for weights in runs}) > 1:
            raise RunError(
                f"{family.first.path}: contributions.csv has another number of clips of {sample} than that of"
                " another run of its row; train these runs again"
            )
    return {sample: np.mean(runs, axis=0) for sample, runs in sorted(found.items())}


def _figure(family: Family, weights: dict[str, np.ndarray], attachments: Attachments) -> Markup:
    clips = max(map(len, weights.values()))
    padded = np.full((len(weights), clips), np.nan)
    for row, of_sample in zip(padded, weights.values(), strict=True):
        row[: len(of_sample)] = of_sample
    scores = {
        name: score
        for table in (result.test for result in family.results)
        for name, score in zip(table.sample_ids, table.true.tolist(), strict=True)
        if np.isfinite(score)
    }
    ranked = sorted((name for name in weights if name in scores), key=lambda name: (scores[name], name))
    lowest, highest = ranked[:_SAMPLES], ranked[_SAMPLES:][-_SAMPLES:]
    names = list(weights)
    lines = [("mean", np.nanmean(padded, axis=0))]
    lines += [(f"{name} ({scores[name]:.1f})", padded[names.index(name)]) for name in lowest + highest]
    matrix = np.array([line for _, line in lines])
    texts = [["" if np.isnan(share) else f"{100 * share:.0f}" for share in line] for line in matrix]
    title = f"Weights of the clips, {family.short}"
    described = f"{title}: on average " + ", ".join(
        f"clip {n} {100 * w:.0f} %" for n, w in enumerate(lines[0][1])
    )
    drawing = draw_matrix(
        matrix / (np.nanmax(matrix) or 1),
        [name for name, _ in lines],
        [str(n) for n in range(clips)],
        ("sample (score)", "clip"),
        title,
        described,
        texts,
    )
    runs = runs_text(family)
    caption = join([colour_key(family), element("b", family.short), f", mean of {runs}" if runs else ""])
    return attachments.figure(f"contributions_{family.slug}", drawing, caption, caption_first=True)
