"""What a report says, section by section, from top to bottom."""

from collections.abc import Iterable, Sequence

from . import figures
from .attachments import Attachments
from .families import Family
from .floors import floor_lines, floors_legend
from .html import Markup, element
from .report import Report
from .results import natural
from .sections.audit_findings import audit_section
from .sections.caption_results import captions_section
from .sections.caveats import findings, notes, warnings
from .sections.class_results import classes_section
from .sections.clip_contributions import contributions_section
from .sections.differences import differences_section
from .sections.group_errors import groups_section
from .sections.learning_curves import curves_section
from .sections.provenance import provenance_section
from .sections.results_table import further_metrics, keep_results, results_table
from .sections.scatters import scatters_section
from .sections.score_intervals import score_intervals_section
from .wording import (
    PERCENT,
    began_random,
    counted,
    in_paper,
    leaked_from_backbone,
    listed,
    names_of,
    rho_text,
    whose,
)


def all_sections(
    report: Report, title: str, preface: Iterable[str], attachments: Attachments
) -> list[Markup]:
    """The whole content of the page; its figures and the numbers behind it are put into `attachments`."""
    content = [
        *_results(report, attachments),
        *differences_section(report, attachments),
        *curves_section(report, attachments),
        *scatters_section(report, attachments),
        *score_intervals_section(report, attachments),
        *groups_section(report, attachments),
        *classes_section(report, attachments),
        *captions_section(report, attachments),
        *contributions_section(report, attachments),
        *audit_section(report, attachments),
        *provenance_section(report),
    ]
    return [
        element("h1", title),
        element("p", _byline(report.families), class_="byline"),
        *_leaked(report.families),
        *_random_weights(report.families),
        *(element("p", paragraph) for paragraph in preface),
        *content,
        *attachments.listed(),
    ]


def _byline(families: Sequence[Family]) -> str:
    runs = [result for family in families for result in family.results]
    sizes = sorted({len(family.tested_on) for family in families})
    tested = "no test samples" if sizes == [0] else listed(f"{n:,}" for n in sizes) + " test samples"
    seeds = sorted({str(result.seed) for result in runs}, key=natural)
    counts = counted(len(runs), "run") + (
        f" in {counted(len(families), 'row')}" if len(families) < len(runs) else ""
    )
    return f"{counts} · {tested} · {'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}"


def _leaked(families: Sequence[Family]) -> list[Markup]:
    affected = [family for family in families if any(result.leaked for result in family.results)]
    if not affected:
        return []
    backbone = ", or their backbone," if any(leaked_from_backbone(family) for family in affected) else ""
    text = (
        f"LEAKED TEST: samples that {names_of(affected)}{backbone} were trained on are among the test"
        " samples. These numbers do not say how well new samples are judged."
    )
    return [element("p", text, class_="banner", role="note")]


def _random_weights(families: Sequence[Family]) -> list[Markup]:
    trained = [family for family in families if began_random(family)]
    cached = [
        family
        for family in families
        if family.features.weights_random and not family.end_to_end and family.tuned_in is None
    ]
    said = []
    if cached:
        backbones = listed(sorted({in_paper(family.features.backbone) for family in cached}))
        said.append(
            f"{' of '.join(['Features', *whose(cached, families)])} come from random weights: the {backbones}"
            " backbone was never trained, so the numbers show that the pipeline works, not what the models"
            " can do."
        )
    if trained:
        said.append(
            f"{' of '.join(['The backbone', *whose(trained, families)])} started from random weights: all it"
            " knows it has learned in fine-tuning, so the numbers do not show what a backbone trained on"
            " many videos can do."
        )
    return [element("p", text, class_="banner", role="note") for text in said]


def _results(report: Report, attachments: Attachments) -> list[Markup]:
    keep_results(report, attachments)
    return [
        element("h2", "The paper’s Table 1, with results"),
        element("p", findings(report), class_="lead"),
        results_table(report),
        *(element("p", warning, class_="warning") for warning in warnings(report)),
        *_correlations(report, attachments),
        *(element("p", *note, class_="note") for note in notes(report)),
        *further_metrics(report),
    ]


def _correlations(report: Report, attachments: Attachments) -> list[Markup]:
    if not report.ranked:
        return []
    intervals = {family.order: report.intervals.of(family) for family in report.ranked}
    said = "; ".join(
        f"{family.short} {rho_text(family, intervals[family.order])}" for family in report.ranked
    )
    bars = [
        figures.Interval(
            family.short, family.order, family.number("spearman"), *(intervals[family.order] or (None, None))
        )
        for family in report.ranked
    ]
    what = f"Spearman's ρ of every row, with its 95{PERCENT} interval"
    lines = floor_lines(report.floors)
    drawing = figures.draw_intervals(bars, lines, figures.TEST_LABEL, what, f"{what}: {said}")
    caption = f"Reported correlation of every row (dot) and its 95{PERCENT} interval (bar)."
    return [attachments.figure("correlation_intervals", drawing, caption + floors_legend(report.floors))]
