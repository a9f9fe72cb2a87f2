"""Predicted over true scores."""

import numpy as np

from .. import figures
from ..attachments import Attachments
from ..families import Family
from ..html import Markup, element, join
from ..report import Report
from ..wording import colour_key, runs_text, signed


def scatters_section(report: Report, attachments: Attachments) -> list[Markup]:
    """A small figure for every row, all with the same axes; nothing where nothing was scored."""
    scored = [family for family in report.families if family.truth]
    header = ["row", "seed", "fold", "sample_id", "group", "true_score", "predicted_score"]
    rows = (
        [family.short, result.seed, result.fold, sample, group, *result.scored[sample]]
        for family in scored
        for result in family.results
        for sample, group in zip(result.test.sample_ids, result.test.groups, strict=True)
        if sample in result.scored
    )
    attachments.table("scatter", header, rows, "true and predicted score of every test sample in every run")
    if not scored:
        return []
    true = np.concatenate([family.scores[0] for family in scored])
    margin = 0.12 * (float(np.ptp(true)) or 10.0)
    limits = float(true.min()) - margin, float(true.max()) + margin
    aside = (
        "Every dot is a test sample; on the line, prediction and judges agree. A flat cloud: the model says"
        " nearly the same of every sample."
    )
    if any(len(family.seeds) > 1 for family in scored):
        aside += " Where a row has several seeds, every sample has a dot for each."
    frame = figures.scatter_frame(limits)
    return [
        element("h2", "Predicted and true scores"),
        element("p", aside, class_="note"),
        element("div", *(_scatter(family, limits, frame, attachments) for family in scored), class_="many"),
    ]


def _scatter(
    family: Family, limits: tuple[float, float], frame: figures.Frame, attachments: Attachments
) -> Markup:
    true, predicted = family.scores
    beyond = int(((predicted < limits[0]) | (predicted > limits[1])).sum())
    described = f"Predicted over true score of {len(family.truth)} test samples, {family.short}"
    drawing = figures.draw_scatter(frame, true, predicted, family.order, family.short, described)
    rho, runs = family.number("spearman"), runs_text(family)
    said = [colour_key(family), element("b", family.short), "" if rho is None else f" ρ {signed(rho)}"]
    said += [f", n {len(family.truth)}", f", {runs}" if runs else ""]
    said += [f"; {beyond} beyond the axes, on the edge"] if beyond else []
    return attachments.figure(f"scatter_{family.slug}", drawing, join(said), caption_first=True)
