"""What a report says, section by section, from top to bottom."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np

from . import figures
from .page import Markup, element, join, table
from .results import Result, natural, number_in
from .results_table import findings, notes, results_table, warnings
from .wording import (
    PERCENT,
    colour_key,
    counted,
    difference,
    floor_lines,
    floors_legend,
    grouped,
    in_paper,
    in_words,
    listed,
    mean_known,
    names_of,
    percentage,
    plain,
    rho_text,
    signed,
    small,
    whose,
    with_rho,
)

_CAPTION_SAMPLES, _CAPTION_RUNS, _CAPTION_WORDS = 4, 3, 40


def all_sections(
    results: Sequence[Result], title: str, preface: Iterable[str], folder: str, pngs: dict[str, bytes]
) -> list[Markup]:
    """The whole content of the page; every figure is put into `pngs` under its file name as well.

    Args:
        folder: name of the folder that will hold those files.
    """
    return [
        element("h1", title),
        element("p", _byline(results), class_="byline"),
        *_random_weights(results),
        *(element("p", paragraph) for paragraph in preface),
        *_results(results, pngs),
        *_curves(results, pngs),
        *_scatters(results, pngs),
        *_classes(results),
        *_captions(results),
        *_sources(results),
        element("p", f"All figures lie as PNG files in {folder}/ beside this page.", class_="note"),
    ]


def _byline(results: Sequence[Result]) -> str:
    sizes = sorted({len(result.test) for result in results})
    tested = "no test samples" if sizes == [0] else listed(f"{n:,}" for n in sizes) + " test samples"
    seeds = sorted({str(result.config.get("seed")) for result in results}, key=natural)
    return f"{counted(len(results), 'run')} · {tested} · {'seed' if len(seeds) == 1 else 'seeds'} {listed(seeds)}"


def _random_weights(results: Sequence[Result]) -> list[Markup]:
    affected = [result for result in results if result.features.get("weights_random")]
    if not affected:
        return []
    backbones = listed(sorted({in_paper(result.features.get("backbone")) for result in affected}))
    text = (
        f"{' of '.join(['Features', *whose(affected, results)])} come from random weights: the {backbones} backbone was never trained, so the numbers show "
        "that the pipeline works, not what the models can do."
    )
    return [element("p", text, class_="banner", role="note")]


def _results(results: Sequence[Result], pngs: dict) -> list[Markup]:
    parts = [
        element("h2", "The paper’s Table 1, with results"),
        element("p", findings(results), class_="lead"),
        results_table(results),
        *(element("p", warning, class_="warning") for warning in warnings(results)),
        *(element("p", *note, class_="note") for note in notes(results)),
    ]
    ranked = with_rho(results)
    if ranked:
        said = "; ".join(f"{result.short} {rho_text(result)}" for result in ranked)
        bars = [
            figures.Interval(result.short, result.order, result.number("spearman"), *(result.interval or (None, None)))
            for result in ranked
        ]
        what = f"Spearman's ρ of every run, with its 95{PERCENT} interval"
        drawing = figures.draw_intervals(bars, floor_lines(results), what, f"{what}: {said}")
        caption = f"Reported correlation of every run (dot) and its 95{PERCENT} interval (bar)."
        parts.append(_figure(drawing, "correlation_intervals", caption + floors_legend(results), pngs))
    return parts


# Figures.


def _curves(results: Sequence[Result], pngs: dict) -> list[Markup]:
    kinds = []
    for column, label, name, what, paper, floors in (
        ("train_loss", figures.LOSS_LABEL, "training_loss", "Training loss", 8, ()),
        ("test_spearman", figures.RHO_LABEL, "test_correlation", "Test correlation", 9, floor_lines(results)),
    ):
        curves = {}
        for result in results:
            values = result.by_epoch(column)
            if np.isfinite(values).any():
                curves[result.order] = figures.Curve(result.short, result.order, result.by_epoch("epoch"), values)
        kinds.append((curves, label, name, what, paper, floors))
    parts = [element("h2", "Learning curves" + (" of all runs" if len(results) > 1 else ""))]
    for curves, label, name, what, paper, floors in kinds:
        if not curves:
            parts.append(element("p", f"{what}: no run recorded any.", class_="note"))
            continue
        ends = "; ".join(f"{c.name} ends at {c.values[np.isfinite(c.values)][-1]:.3g}" for c in curves.values())
        shown = list(curves.values())
        drawing = figures.draw_curves(
            shown, label, figures.WIDE, f"{what} by epoch", f"{what} by epoch: {ends}", floors
        )
        absent = [result for result in results if result.order not in curves]
        caption = f"{what} by epoch (the paper’s Figure {paper})." + (floors_legend(results) if floors else "")
        parts.append(_figure(drawing, name, caption + (f" None: {names_of(absent)}." if absent else ""), pngs))
    if len(results) == 1:
        return parts
    parts.append(element("h2", "Run by run"))
    aside = "Training loss and test correlation side by side (the paper’s Figures 2 to 7); grey: the other runs."
    parts.append(element("p", aside, class_="note"))
    for result in results:
        pair = []
        for curves, label, name, what, _, floors in kinds:
            if result.order not in curves:
                pair.append(element("p", f"{what}: none recorded.", class_="note"))
                continue
            others = [curve for order, curve in curves.items() if order != result.order]
            titled = f"{result.short}: {what.lower()} by epoch"
            mine = curves[result.order]
            ended = signed(mine.values[np.isfinite(mine.values)][-1])
            mine = replace(mine, name=ended)
            drawing = figures.draw_curves(
                [mine], label, figures.SMALL, titled, f"{titled}, {ended} at the end", floors, others
            )
            pair.append(_figure(drawing, f"{name}_{_file_part(result, results)}", "", pngs))
        parts.append(
            element("h3", colour_key(result), result.short, " ", element("span", in_words(result), class_="note"))
        )
        parts.append(element("div", *pair, class_="pair"))
    return parts


def _scatters(results: Sequence[Result], pngs: dict) -> list[Markup]:
    scored = [result for result in results if len(result.scores[0])]
    if not scored:
        return []
    true = np.concatenate([result.scores[0] for result in scored])
    margin = 0.12 * (float(np.ptp(true)) or 10.0)
    low, high = float(true.min()) - margin, float(true.max()) + margin
    many = []
    for result in scored:
        true, predicted = result.scores
        beyond = int(((predicted < low) | (predicted > high)).sum())
        described = f"Predicted over true score of {len(true)} test samples, {result.short}"
        drawing = figures.draw_scatter(true, predicted, result.order, (low, high), result.short, described)
        rho = result.number("spearman")
        said = [
            colour_key(result),
            element("b", result.short),
            "" if rho is None else f" ρ {signed(rho)}",
            f", n {len(true)}",
        ]
        said += [f"; {beyond} beyond the axes, on the edge"] if beyond else []
        many.append(_figure(drawing, f"scatter_{_file_part(result, results)}", join(said), pngs, caption_first=True))
    aside = (
        "Every dot is a test sample; on the line, prediction and judges agree. A flat cloud: the model says nearly the "
        "same of every sample."
    )
    return [
        element("h2", "Predicted and true scores"),
        element("p", aside, class_="note"),
        element("div", *many, class_="many"),
    ]


def _figure(drawing: figures.Drawing, name: str, caption, pngs: dict, caption_first: bool = False) -> Markup:
    pngs[f"{name}.png"] = drawing.png
    shown = [Markup(drawing.svg)]
    if drawing.narrow_svg is not None:
        shown = [element("div", Markup(svg), class_=kind)
                 for kind, svg in (("wide", drawing.svg), ("narrow", drawing.narrow_svg))]  # fmt: skip
    said = [element("figcaption", caption)] if caption else []
    return element("figure", *said, *shown) if caption_first else element("figure", *shown, *said)


# Classes and captions.


def _classes(results: Sequence[Result]) -> list[Markup]:
    columns = list(dict.fromkeys(name for result in results for name in result.numbers("class_accuracy")))
    if not columns:
        return []
    rows = []
    for result in results:
        accuracy, majority = result.numbers("class_accuracy"), result.numbers("majority_accuracy")
        cells = []
        for value, floor in ((accuracy.get(name), majority.get(name)) for name in columns):
            below = value is not None and floor is not None and value <= floor
            cells.append(element("span", percentage(value), class_="below") if below else percentage(value))
        rows.append([join([colour_key(result), result.short]), *cells, percentage(mean_known(accuracy.values()))])
    classified = [result for result in results if result.numbers("majority_accuracy")]
    floors = grouped(
        classified, lambda result: tuple(result.numbers("majority_accuracy").get(name) for name in columns)
    )
    foot = [
        [
            join(["Majority class", *map(small, whose(owners, classified))]),
            *map(percentage, shares),
            percentage(mean_known(shares)),
        ]
        for shares, owners in floors.items()
    ]
    aside = (
        "Share of test samples whose class was named correctly. Majority class: always the most frequent training "
        "class; grey italics do not rise above it."
    )
    names = [name.removeprefix("class_").replace("_", " ") for name in columns]
    return [
        element("h2", "Class accuracies"),
        element("p", aside, class_="note"),
        table(["Run", *names, "Mean"], rows, "classes", foot),
    ]


def _captions(results: Sequence[Result]) -> list[Markup]:
    said = {}
    for result in results:
        captioned = "caption" in (result.config.get("tasks") or ()) and "predicted_caption" in (result.test or [{}])[0]
        if captioned or any(row.get("predicted_caption") for row in result.test):
            said[result.order] = {row["sample_id"]: row for row in result.test}
    if not said:
        return []
    speaking = [result for result in results if result.order in said]
    variety = "; ".join(_variety(result, said[result.order].values()) for result in speaking)
    by_loss = sorted(speaking[1:], key=lambda result: (_caption_loss(result), result.order))
    chosen = sorted([speaking[0], *by_loss[: _CAPTION_RUNS - 1]], key=lambda result: result.order)
    common = [
        row for row in chosen[0].test
        if row.get("caption") and all(row["sample_id"] in said[result.order] for result in chosen)
    ]  # fmt: skip
    scored = [row for row in common if number_in(row["final_score"]) is not None]
    common = sorted(scored or common, key=lambda row: (number_in(row["final_score"]) or 0.0, row["sample_id"]))
    places = sorted(set(np.linspace(0, len(common) - 1, _CAPTION_SAMPLES).round().astype(int))) if common else []
    rows = []
    for row in (common[place] for place in places):
        named = join([row["sample_id"], *_score_aside("score", row["final_score"])])
        cells = [said[result.order][row["sample_id"]] for result in chosen]
        rows.append([named, _shortened(row["caption"]), *(
            join([_shortened(cell["predicted_caption"]) or "(empty)", *_score_aside("predicted score", cell["predicted_score"])])
            for cell in cells)])  # fmt: skip
    aside = (
        f"Different captions among those predicted for the test samples: {variety}. A captioner that says the same of "
        "many samples has not learned to look."
    )
    choice = (
        f"Shown are samples spread evenly {'from the lowest to the highest true score' if scored else 'by their names'}, "
        f"in the first run and in those with the lowest last caption loss per token. Captions are cut after {_CAPTION_WORDS} words."
    )
    shown = table(["Sample", "Reference", *(result.short for result in chosen)], rows, "captions")
    return [
        element("h2", "Captions"),
        element("p", aside, class_="note"),
        element("p", choice if rows else "No test sample has a reference caption and a predicted one.", class_="note"),
        *([shown] if rows else []),
    ]


def _variety(result: Result, rows: Collection[dict[str, str]]) -> str:
    captions = [row["predicted_caption"] for row in rows]
    empty = captions.count("")
    return f"{result.short} {len(set(captions))} of {len(captions)}" + (f" ({empty} of them empty)" if empty else "")


def _caption_loss(result: Result) -> float:
    values = result.by_epoch("train_caption_loss_per_token")
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else np.inf


def _score_aside(name: str, cell: str | None) -> list[Markup]:
    score = number_in(cell)
    return [] if score is None else [small(f"{name} {score:.1f}")]


def _shortened(text: str) -> str:
    words = text.split()
    return text if len(words) <= _CAPTION_WORDS else " ".join(words[:_CAPTION_WORDS]) + f" … ({len(words)} words)"


# Where the numbers come from.


def _sources(results: Sequence[Result]) -> list[Markup]:
    parts = [element("h2", "Where the numbers come from")]
    sources = grouped(
        results,
        lambda r: (
            r.features.get("fingerprint"),
            r.features.get("path"),
            "; ".join(r.features.get("views") or ["plain"]),
        ),
    )
    for (fingerprint, path, views), owners in sources.items():
        features = owners[0].features
        parts.append(element("h3", "Features", *(f" of {who}" for who in whose(owners, results))))
        weights = plain(features.get("weights")) + (" (random)" if features.get("weights_random") else "")
        parts.append(_pairs({
            "Backbone": f"{in_paper(features.get('backbone'))}, {plain(features.get('dim'))} values per clip",
            "Weights": weights,
            "Fingerprint": element("code", plain(fingerprint)[:12]),
            "Cache": element("code", plain(path)),
            "Samples": plain(features.get("samples")),
            "Views": views,
        }))  # fmt: skip
    machines = grouped(
        results, lambda r: tuple(plain(r.config.get(name)) for name in ("versions", "device", "threads"))
    )
    for (versions, device, threads), owners in machines.items():
        parts.append(element("h3", "Training", *(f" of {who}" for who in whose(owners, results))))
        parts.append(_pairs({"Versions": versions, "Device": device, "CPU threads": threads}))
    notes: dict[str, list[Result]] = {}
    for result in results:
        for note in [*(result.config.get("notes") or ()), *(result.summary.get("notes") or ())]:
            notes.setdefault(str(note), []).append(result)
    if notes:
        lines = (element("li", note, *map(small, whose(owners, results))) for note, owners in notes.items())
        parts.append(element("h3", "Notes of the runs"))
        parts.append(element("ul", *lines))
    parts.append(element("h3", "Configuration of every run"))
    for result in results:
        memory = result.number("peak_memory_bytes")
        on_gpu = str(result.config.get("device")).startswith("cuda")
        whose_memory = "peak memory" if on_gpu else "peak memory of the whole process so far"
        config = {name: value for name, value in result.config.items() if name not in ("features", "notes", "table1")}
        shown = {
            "folder": element("code", str(result.path)),
            **{name.replace("_", " "): plain(value) for name, value in config.items()},
            "training samples": plain(result.summary.get("n_train")),
            "test samples": plain(result.summary.get("n_test")),
            whose_memory: "–" if memory is None else f"{memory / 2**20:,.0f} MiB",
        }
        about = "" if result.label == result.short else f" {difference(result)}"
        parts.append(
            element("details", element("summary", colour_key(result), element("b", result.short), about), _pairs(shown))
        )
    return parts


def _pairs(items: dict) -> Markup:
    return element(
        "dl", *(part for name, value in items.items() for part in (element("dt", name), element("dd", value)))
    )


def _file_part(result: Result, results: Sequence[Result]) -> str:
    shared = sum(other.slug == result.slug for other in results) > 1
    return f"{result.slug}_{result.order}" if shared else result.slug
