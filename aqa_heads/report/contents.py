"""What a report says, from the first screen to the glossary."""

from collections.abc import Sequence

from .attachments import Attachments
from .html import Markup, Section, contents, element
from .html.glossary import explanations
from .report import Report
from .samples import Samples
from .sections.audit_findings import audit_section
from .sections.caption_results import captions_section
from .sections.class_results import classes_section
from .sections.clip_contributions import contributions_section
from .sections.differences import differences_section
from .sections.first_screen import first_screen
from .sections.group_errors import groups_section
from .sections.learning_curves import curves_section
from .sections.provenance import provenance_section
from .sections.results_table import results_section
from .sections.sample_table import samples_section
from .sections.scatters import scatters_section
from .sections.score_intervals import score_intervals_section
from .stills import Stills


def all_parts(
    report: Report, title: str, preface: Sequence[str], attachments: Attachments, stills: Stills | None = None
) -> tuple[Markup, list[Markup]]:
    """The table of contents, and the whole content of the page; its figures and the numbers behind it are put
    into `attachments`.
    """
    samples = Samples.of_report(report)
    first = first_screen(report, title, attachments)
    made = [
        results_section(report, attachments),
        differences_section(report, attachments),
        samples_section(report, samples, attachments, stills),
        scatters_section(report, samples, attachments),
        score_intervals_section(report, attachments),
        groups_section(report, attachments),
        classes_section(report, attachments),
        captions_section(report, attachments),
        contributions_section(report, attachments),
        curves_section(report, attachments),
        audit_section(report, attachments),
        provenance_section(report, preface),
        attachments.section(),
    ]
    sections = [section for section in made if section is not None]
    explained = explanations(*first, *(part for section in sections for part in section.content))
    opened = []
    if explained is not None:
        terms, opened = explained
        sections.append(Section("Glossary", (terms,), "the words of this page"))
    return contents(sections), [element("header", *first), *(s.markup for s in sections), *opened]
