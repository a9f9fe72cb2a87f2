"""Training on the annotations: what there is, what it takes, and the button."""

import shlex

from aqa_heads.report.html import Markup, element

from ..context import Context
from ..models import S3D, Model
from .frame import page
from .model import choice
from .work import part

FEW = 50


def training(context: Context) -> str:
    samples = context.annotations.samples()
    scored = sum(sample.final_score is not None for sample in samples)
    return page(
        "Train on your clips",
        "/train",
        element("p", f"{len(samples)} clips, of which {scored} have a score.", class_="lead"),
        _advice(scored, any(sample.group for sample in samples)),
        _form(context.models.usable(), scored),
        element("section", element("h2", "Trained here"), part(context, "learned")),
        element("h2", "In a terminal, on features of S3D"),
        element("pre", element("code", "\n".join(_commands(context))), tabindex="0"),
        scripts=("train.js",),
    )


def _advice(scored: int, grouped: bool) -> Markup:
    lines = []
    if scored < FEW:
        lines.append(
            f"Even with {FEW} test clips an interval is wide. With fewer, the result shows that it works, no"
            " more."
        )
    if not grouped:
        lines.append(
            "No clip has a group. Clips of one athlete or competition are alike: without groups, the test is"
            " easier than a new athlete will be."
        )
    return element("ul", *(element("li", line) for line in lines), class_="note") if lines else element("div")


def _form(models: list[Model], scored: int) -> Markup:
    return element(
        "form",
        choice("On features as those of", models, **{S3D: "S3D (its weights are downloaded once)"}),
        element(
            "p",
            element("button", "Make features and train", id="learn", disabled=scored < 2),
            element(
                "span",
                "It goes into the queue, and goes on where it was if it is interrupted."
                if scored >= 2
                else "Type the scores of at least two clips first.",
                class_="aside",
            ),
            class_="buttons",
        ),
        id="train",
    )


def _commands(context: Context) -> list[str]:
    features = str(context.folder.root / "features.h5")
    videos, runs = str(context.folder.videos), str(context.folder.runs)
    return [
        shlex.join(["aqa-extract", "--backbone", "s3d", videos, features]),
        shlex.join(["aqa-train", "--features", features, "--out", runs]),
    ]
