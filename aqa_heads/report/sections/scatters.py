"""Predicted over true scores."""

import numpy as np

from ..attachments import Attachments
from ..families import Family
from ..figures import Dot, draw_scatter, scatter_frame
from ..html import Markup, Section, element, join
from ..html.frames import Frame
from ..report import Report
from ..samples import Samples
from ..wording import colour_key, runs_text, signed

_MOST = 24  # figures


def scatters_section(report: Report, samples: Samples, attachments: Attachments) -> Section | None:
    """A small figure for every distinct row, all with the same axes; nothing where nothing was scored."""
    scored = samples.of
    header = ["row", "seed", "fold", "sample_id", "group", "true_score", "predicted_score"]
    rows = (
        [family.short, result.seed, result.fold, sample, group, *result.scored[sample]]
        for family in report.families
        for result in family.results
        for sample, group in zip(result.test.sample_ids, result.test.groups, strict=True)
        if sample in result.scored
    )
    attachments.table("scatter", header, rows, "true and predicted score of every test sample in every run")
    if not scored:
        return None
    true = np.concatenate([family.scores[0] for family in scored])
    margin = 0.12 * (float(np.ptp(true)) or 10.0)
    limits = float(true.min()) - margin, float(true.max()) + margin
    aside = (
        "A dot is a test sample; it names itself under the pointer and leads to its row. On the line,"
        " prediction and judges agree. A flat cloud: the model says nearly the same of every sample."
    )
    if any(len(family.seeds) > 1 for family in scored):
        aside += " Where a row has several seeds, every sample has a dot for each."
    if len(scored) > _MOST:
        aside += f" The first {_MOST} of {len(scored)} models; scatter.csv has all."
    frame = scatter_frame(limits)
    drawn = (_scatter(family, limits, frame, samples, attachments) for family in scored[:_MOST])
    content = element("p", aside, class_="note"), element("div", *drawn, class_="many")
    return Section("Predicted and true scores", content, "a dot per sample")


def _scatter(
    family: Family, limits: tuple[float, float], frame: Frame, samples: Samples, attachments: Attachments
) -> Markup:
    predicted = family.scores[1]
    beyond = int(((predicted < limits[0]) | (predicted > limits[1])).sum())
    described = f"Predicted over true score of {len(family.truth)} test samples, {family.short}"
    dots = [
        Dot(
            true,
            said,
            f"{name}: true {signed(true, 1)}, predicted {signed(said, 1)}",
            samples.link_of.get(name, ""),
        )
        for result in family.results
        for name, (true, said) in result.scored.items()
    ]
    drawing = draw_scatter(frame, dots, family.colour, family.short, described)
    rho, runs = family.number("spearman"), runs_text(family)
    caption = [colour_key(family), element("b", family.short), "" if rho is None else f" ρ {signed(rho)}"]
    caption += [f", n {len(family.truth)}", f", {runs}" if runs else ""]
    caption += [f"; {beyond} beyond the axes, on the edge"] if beyond else []
    return attachments.figure(f"scatter_{family.slug}", drawing, join(caption), caption_first=True)
