"""What is said of a model before its first score: its results, what they are held against, and its card."""

from collections.abc import Sequence

from markdown_it import MarkdownIt

from aqa_heads.report.html import Markup, element

from ..context import Context
from ..models import LEVEL, Model
from .frame import page


def models_page(context: Context) -> str:
    found = context.models.all()
    sections = [
        element(
            "section",
            element("h2", element("a", model.label, href=f"/models/{model.id}")),
            *facts(model, linked=False),
        )
        for model in found
    ]
    return page(
        "Models",
        "/models",
        *(sections or [element("p", "There is none yet.", class_="note")]),
        _adding(context.limits.bytes),
        scripts=("models.js",),
    )


def _adding(most: int) -> Markup:
    """The place for a model that somebody else has packed."""
    return element(
        "section",
        element("h2", "Add a model"),
        element(
            "form",
            element(
                "p",
                element("label", "A model.zip that somebody packed (aqa-data pack)", for_="model-file"),
                # Enabled by the script, that nothing is chosen before it can be taken.
                element("input", id="model-file", type="file", accept=".zip", disabled=True),
                element(
                    "span",
                    f"At most {most / 2**20:,.0f} MiB. It is looked at before it is kept, and nothing in it"
                    " is run.",
                    class_="aside",
                ),
                class_="field",
            ),
            element("p", "", id="arrived", role="status"),
            id="add-model",
            data_most=most,
        ),
        element("noscript", element("p", "Uploading needs JavaScript.", class_="warning")),
    )


def model_page(context: Context, model: Model) -> str:
    return page(
        model.label,
        "/models",
        *facts(model, linked=False),
        element("h2", "Its card"),
        element(
            "div",
            _card(model.card) if model.card else element("p", "It has none.", class_="note"),
            class_="card",
        ),
    )


def choice(label: str, models: Sequence[Model], **more: str) -> Markup:
    """A list of models to choose from.

    Args:
        more: labels of what can be chosen too, by value.
    """
    return element(
        "p",
        element("label", label, for_="model"),
        element(
            "select",
            *(element("option", model.label, value=model.id) for model in models),
            *(element("option", also, value=value) for value, also in more.items()),
            id="model",
            name="model",
        ),
        class_="field",
    )


def facts(model: Model, linked: bool = True) -> list[Markup]:
    """Its results beside what needs no video, and how sure one score is."""
    if model.problem:
        return [element("p", model.problem, class_="warning")]
    lines = []
    if model.rho is None:
        lines.append("Its ranking was not tested, or too little was.")
    else:
        rho, low, high = model.rho
        sure = "" if low is None or high is None else f", 95 % interval {low:.2f} to {high:.2f}"
        floors = "; ".join(
            f"{name.removesuffix(' alone').lower()} alone {value:.2f}" for name, value in model.floors
        )
        lines.append(
            f"On {model.tested} test clips its ranking agrees with the judges' to {rho:.2f} (Spearman's rho,"
            f" 1 is the same ranking{sure})."
            + (f" Without any video: {floors}." if floors else "")
            + (f" One judge with the others: {model.ceiling:.2f}." if model.ceiling is not None else "")
        )
    if model.within is None:
        lines.append(f"How far a score may be off is not known: {model.interval_note}.")
    else:
        lines.append(
            f"Of new clips like those that it was tested on, {LEVEL:.0%} have their true score within"
            f" {model.within:.1f} points of what it says ({model.interval_note})."
        )
    made = [element("p", line) for line in lines]
    made += [element("p", f"{note[:1].upper()}{note[1:]}.", class_="warning") for note in model.notes]
    if linked:
        made.append(element("p", element("a", "The model's card", href=f"/models/{model.id}")))
    return made


def _card(text: str) -> Markup:
    """Markdown as HTML; HTML in it is text, and its title is the page's."""
    made = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    tokens = made.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    if tokens and tokens[0].type == "heading_open":
        tokens = tokens[3:]
    return Markup(made.renderer.render(tokens, made.options, {}))
