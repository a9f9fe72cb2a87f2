"""Where the numbers come from: features, machines, notes, and what every run was asked to do."""

from collections.abc import Sequence

from aqa_cache.cache_file.feature_spec import random_in_words

from ..html import Markup, Section, element, join
from ..records import Features
from ..report import Report
from ..results import Result
from ..wording import colour_key, grouped, in_paper, plain, signed, small, whose_runs


def provenance_section(report: Report, preface: Sequence[str]) -> Section:
    """What was done, features, machines, notes, and the configuration of every run."""
    results = [result for result in report.results if not result.foreign]
    content = (
        *(element("p", paragraph) for paragraph in preface),
        *_features(results),
        *_trained_backbones(results),
        *_machines(results),
        *_notes(report.results),
        *_configurations(report),
    )
    return Section("Where the numbers come from", content, "data, features, machine, settings, notes")


def _features(results: Sequence[Result]) -> list[Markup]:
    cached = [result for result in results if result.fine_tuning is None]
    sources = grouped(
        cached,
        lambda r: (r.features.fingerprint, r.features.path, "; ".join(r.features.views or ["plain"])),
    )
    parts = []
    for (fingerprint, path, views), owners in sources.items():
        features = owners[0].features
        said = {
            "Backbone": f"{in_paper(features.backbone)}, {plain(features.dim)} values per clip",
            "Weights": _weights(features),
            "Fingerprint": element("code", plain(fingerprint)[:12]),
            "Cache": element("code", plain(path)),
            "Samples": plain(features.samples),
            "Views": views,
        }
        parts.append(element("h3", "Features", *(f" of {who}" for who in whose_runs(owners, results))))
        parts.append(_pairs(said))
    return parts


def _trained_backbones(results: Sequence[Result]) -> list[Markup]:
    trained = [result for result in results if result.fine_tuning is not None]
    parts = []
    for pairs, owners in grouped(trained, lambda result: tuple(_fine_tuning(result).items())).items():
        who = (f" in {names}" for names in whose_runs(owners, results))
        parts += [element("h3", "Backbone trained end to end", *who), _pairs(dict(pairs))]
    return parts


def _machines(results: Sequence[Result]) -> list[Markup]:
    machines = grouped(
        results, lambda r: (plain(r.asked.versions), plain(r.asked.device), plain(r.asked.threads))
    )
    parts = []
    for (versions, device, threads), owners in machines.items():
        parts.append(element("h3", "Training", *(f" of {who}" for who in whose_runs(owners, results))))
        parts.append(_pairs({"Versions": versions, "Device": device, "CPU threads": threads}))
    return parts


def _notes(results: Sequence[Result]) -> list[Markup]:
    notes: dict[str, list[Result]] = {}
    for result in results:
        for note in result.notes:
            # Notes that differ only in the name of the fold are given once, with the runs that have them.
            said = note if result.fold is None else note.replace(f"fold {result.fold},", "the fold,")
            notes.setdefault(said, []).append(result)
    if not notes:
        return []
    lines = (element("li", note, *map(small, whose_runs(owners, results))) for note, owners in notes.items())
    return [element("h3", "Notes of the runs"), element("ul", *lines)]


def _configurations(report: Report) -> list[Markup]:
    parts = [element("h3", "Configuration of every row")]
    for family in report.families:
        about = f" {family.label}" if family.label != family.short else ""
        said = element("summary", colour_key(family), element("b", family.short), about)
        configurations = [_configuration(result) for result in family.results]
        parts.append(element("details", said, _pairs(_together(configurations))))
    return parts


def _weights(features: Features) -> str:
    name, tuned = plain(features.weights), features.tuned
    if not tuned:
        return random_in_words(name) if features.weights_random else name
    origin = "" if tuned.origin == tuned.started_from else f", which began as {tuned.origin}"
    return (
        f"{name}, fine-tuned from {tuned.started_from}{origin}; on {tuned.trained_on:,} samples, an"
        f" epoch chosen on {tuned.chosen_on:,}"
    )


def _fine_tuning(result: Result) -> dict[str, Markup | str]:
    """How the backbone was trained too, and on what."""
    features, tuning = result.features, result.fine_tuning
    digest, frozen = tuning.started_sha256, tuning.frozen_layers
    share = tuning.trained_parameters, tuning.parameters
    named = {
        "Learning rate": "backbone_lr",
        "Augmentation": "augment",
        "Batch norm": "batch_norm",
        "Precision": "precision",
        "Clips at a time": "clip_chunk",
        "Heads taken from": "warm_start",
        "Processes": "processes",
    }
    return {
        "Backbone": f"{in_paper(features.backbone)}, {plain(features.dim)} values per clip",
        "Started from": join(
            [plain(tuning.started_from), *([", ", element("code", digest[:12])] if digest else [])]
        ),
        **({} if frozen is None else {"Frozen layers": plain(frozen) if frozen else "none"}),
        **({} if None in share else {"Trained": f"{share[0]:,.0f} of {share[1]:,.0f} parameters"}),
        **{name: plain(value) for name, key in named.items() if (value := getattr(tuning, key)) is not None},
        "Samples and clips of": join(
            [element("code", plain(features.path)), f", {plain(features.samples)} samples"]
        ),
        "Fingerprint": element("code", plain(features.fingerprint)[:12]),
    }


def _configuration(result: Result) -> dict[str, str]:
    memory = result.number("peak_memory_bytes")
    on_gpu = str(result.asked.device).startswith("cuda")
    whose_memory = "peak memory" if on_gpu else "peak memory of the whole process so far"
    seconds = {stage: spent for stage, spent in result.numbers("seconds").items() if spent is not None}
    left_out = "features notes table1 identity versions classes fine_tuning files run_format".split()
    tuning = result.config["fine_tuning"] if result.fine_tuning else {}
    return {
        "folder": str(result.path),
        **{
            name.replace("_", " "): plain(value)
            for name, value in result.config.items()
            if name not in left_out
        },
        **{f"fine-tuning {name.replace('_', ' ')}": plain(value) for name, value in tuning.items()},
        **_chosen(result),
        "training samples": plain(result.sizes.n_train),
        "validation samples": plain(result.sizes.n_val),
        "test samples": plain(result.sizes.n_test),
        **{f"seconds {stage}": f"{spent:,.1f}" for stage, spent in seconds.items()},
        whose_memory: "–" if memory is None else f"{memory / 2**20:,.0f} MiB",
    }


def _together(configurations: Sequence[dict[str, str]]) -> dict[str, str]:
    """What all runs of a row have in common once, the rest in their order."""
    names = dict.fromkeys(name for configuration in configurations for name in configuration)
    values = {name: [configuration.get(name, "–") for configuration in configurations] for name in names}
    return {name: " · ".join(said if len(set(said)) > 1 else said[:1]) for name, said in values.items()}


def _pairs(items: dict) -> Markup:
    return element(
        "dl", *(part for name, value in items.items() for part in (element("dt", name), element("dd", value)))
    )


def _chosen(result: Result) -> dict[str, str]:
    """Which epoch is reported, by part of the model."""
    said = {}
    for part, choice in result.chosen.items():
        by = "" if choice.value is None else f" ({choice.metric} {signed(choice.value)})"
        said[f"chosen epoch of the {part}"] = f"{choice.epoch}{by}"
    return said
