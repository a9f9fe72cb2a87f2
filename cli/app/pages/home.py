"""The first page: drop videos, and see what they score."""

from aqa_heads.report.html import Markup, element

from ..context import Context
from ..models import Model
from .frame import DECIMAL, labelled, page
from .model import choice, facts
from .work import part


def home(context: Context) -> str:
    models = context.models.usable()
    most = context.limits.bytes
    return page(
        "Score a video",
        "/",
        *_models(models),
        element(
            "section",
            element("h2", "Videos"),
            element(
                "form",
                element(
                    "p",
                    element("label", "Drop videos here, or choose them", for_="files"),
                    _files(),
                    element("span", f"At most {most / 2**20:,.0f} MiB each.", class_="aside"),
                    class_="drop",
                    id="drop",
                ),
                element(
                    "p",
                    element(
                        "input", id="at-once", type="checkbox", checked=bool(models), disabled=not models
                    ),
                    element("label", "Score them at once, as a whole", for_="at-once"),
                    element(
                        "span",
                        "Where the action is a part of the video, mark its start and end first (Clips).",
                        class_="aside",
                    ),
                    class_="check",
                ),
                element("ul", id="uploads", class_="queue"),
                id="upload",
                data_most=most,
            ),
            element("noscript", element("p", "Uploading needs JavaScript.", class_="warning")),
        ),
        element("section", element("h2", "Under way"), part(context, "queue")),
        element("section", element("h2", "Scores"), part(context, "scores")),
        scripts=("home.js",),
    )


def _files() -> Markup:
    """Enabled by the script, that nothing is chosen before it can be taken."""
    accept = "video/*,.avi,.mkv,.mts"
    return element("input", id="files", type="file", multiple=True, accept=accept, disabled=True)


def _models(models: list[Model]):
    if not models:
        return (
            element(
                "p",
                "There is no model yet. Videos can be dropped and annotated. A model is trained on them"
                " (Train), or is a model.zip that somebody packed: ",
                element("a", "add it", href="/models"),
                ".",
                class_="warning",
            ),
        )
    needing = any(model.needs_difficulty for model in models)
    return (
        element(
            "section",
            element("h2", "Model"),
            choice("Scored by", models),
            *(
                element("div", *facts(model), data_model=model.id, hidden=number > 0)
                for number, model in enumerate(models)
            ),
            labelled("Difficulty, where the model needs it", "difficulty", **DECIMAL) if needing else "",
        ),
    )
