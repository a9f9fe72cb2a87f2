"""Label Studio's JSON: tasks, each of a video, annotated by one person or more."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..errors import AnnotationError
from ..video.recognition import VIDEO_SUFFIXES
from .export import Asked, Export, expect, file_name, known_as, rows_of, with_said

TOOL = "Label Studio JSON"
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what it puts before the name of an uploaded file
_SCORE = "final_score"
# By type of a result: where its value is. Those of the first kind are classes.
_CHOSEN = {"timelinelabels": "timelinelabels", "choices": "choices"}
_GIVEN = {"number": "number", "rating": "rating", "textarea": "text"}

Span = tuple[int, int] | None  # first and last frame, from 1; None: the whole video


@dataclass
class _Annotated:
    """What one person says of a task: values by stretch of the video and name."""

    person: str
    spans: dict[Span, dict[str, object]] = field(default_factory=dict)


@dataclass
class _Seen:
    """What is to be said of the whole file."""

    classes: dict[str, None] = field(default_factory=dict)
    other: Counter = field(default_factory=Counter)
    cancelled: int = 0
    differing: Counter = field(default_factory=Counter)


def read_label_studio(path: Path, tasks: Sequence, asked: Asked) -> Export:
    """A range on the time line is an action; a video without one is one as a whole. What is said of the whole
    video is of all its ranges. Of several people, the scores are judges' marks, and their mean the score.

    Raises:
        AnnotationError: it is not of this form, or people have marked different stretches of one video.
    """
    seen = _Seen()
    annotated = [
        (_video(path, task, number), _people(path, task, number, seen))
        for number, task in _numbered(path, tasks)
    ]
    judging = _judging([people for _, people in annotated if len(people) > 1], asked)
    entries: list[dict[str, object]] = []
    empty = 0
    for number, (video, people) in enumerate(annotated, 1):
        empty += not people
        if not people:
            continue
        spans = people[0].spans.keys()
        if other := next((one for one in people if one.spans.keys() != spans), None):
            raise AnnotationError(
                f"{path}: task {number} ({video}): annotators {people[0].person} and {other.person} marked"
                " different stretches; agree on them, or export the annotations of one person"
            )
        for span in spans:
            entry = {"video": video, **_frames(span, asked.frame_rate)}
            said = _together([(one.person, one.spans[span]) for one in people], judging, asked, seen)
            entries.append(with_said(entry, said, f"{path}: task {number} ({video})"))
    if not entries:
        raise AnnotationError(f"{path}: no task has an annotation; annotate some, and export as JSON")
    has_frames = any("start_frame" in entry for entry in entries)
    notes = [*_notes(path, seen, empty, len(judging))]
    if has_frames:
        notes.append(
            f"{path.name}: frames are as Label Studio's player counted them, by the frame rate it was told;"
            " where that is not the video's own, give the player's: --frame-rate N."
        )
    return Export(TOOL, rows_of(entries), unit="s", classes=list(seen.classes), notes=notes)


def _judging(tasks: Sequence[Sequence[_Annotated]], asked: Asked) -> list[str]:
    """Who has given a score beside others."""
    given = (
        (one.person, name, value)
        for people in tasks
        for one in people
        for values in one.spans.values()
        for name, value in values.items()
    )
    return sorted({person for person, name, value in given if _is_score(name, value, asked)})


def _is_score(name: str, value: object, asked: Asked) -> bool:
    return type(value) in (int, float) and known_as(name, asked.columns) == _SCORE


def _numbered(path: Path, tasks: Sequence) -> list[tuple[int, dict]]:
    numbered = [
        (number, expect(task, dict, f"{path}: task {number}")) for number, task in enumerate(tasks, 1)
    ]
    for number, task in numbered:
        if "annotations" not in task or "data" not in task:
            raise AnnotationError(
                f"{path}: task {number} has no data or no annotations; export as JSON (not JSON-MIN or CSV)"
            )
    return numbered


def _video(path: Path, task: Mapping, number: int) -> str:
    data = expect(task["data"], dict, f"{path}: data of task {number}")
    texts = {key: file_name(value) for key, value in data.items() if isinstance(value, str)}
    videos = [name for name in texts.values() if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES]
    name = texts.get("video") or (videos[0] if len(videos) == 1 else "")
    return _UPLOADED.sub("", name, count=1)


def _people(path: Path, task: Mapping, number: int, seen: _Seen) -> list[_Annotated]:
    people = []
    for annotation in expect(task["annotations"], list, f"{path}: annotations of task {number}"):
        annotation = expect(annotation, dict, f"{path}: an annotation of task {number}")
        if annotation.get("was_cancelled"):
            seen.cancelled += 1
            continue
        who = annotation.get("completed_by", "")
        person = str(who.get("id", "") if isinstance(who, dict) else who)
        results = expect(annotation.get("result", []), list, f"{path}: result of task {number}")
        results = [expect(one, dict, f"{path}: a result of task {number}") for one in results]
        if results:
            people.append(_Annotated(person, _spans(f"{path}: task {number}", results, seen)))
    return people


def _spans(task: str, results: Sequence[Mapping], seen: _Seen) -> dict[Span, dict[str, object]]:
    """Values by stretch: those of a region are of its ranges, all others of the whole video."""
    regions: dict[str, list[Span]] = {}
    for result in results:
        if result.get("type") == "timelinelabels":
            regions.setdefault(str(result.get("id")), []).extend(_ranges(task, result))
    spans: dict[Span, dict[str, object]] = {}
    for span in [span for ranges in regions.values() for span in ranges] or [None]:
        spans.setdefault(span, {})
    for result in results:
        kind = str(result.get("type"))
        if kind not in _CHOSEN | _GIVEN:
            seen.other[kind] += 1
            continue
        name = str(result.get("from_name") or kind)
        value = expect(result.get("value"), dict, f"{task}: value of {name!r}").get((_CHOSEN | _GIVEN)[kind])
        if kind in _CHOSEN:
            seen.classes[name] = None
        if kind == "timelinelabels":
            of_it = _ranges(task, result)
        else:
            of_it = regions.get(str(result.get("id"))) or list(spans)
        for span in of_it:
            before = spans[span].get(name)
            spans[span][name] = value if before is None else [*_listed(before), *_listed(value)]
    return spans


def _ranges(task: str, result: Mapping) -> list[Span]:
    value = expect(result.get("value"), dict, f"{task}: value of a time line label")
    found: list[Span] = []
    for one in expect(value.get("ranges"), list, f"{task}: ranges"):
        one = expect(one, dict, f"{task}: a range")
        first, last = one.get("start"), one.get("end")
        if type(first) is not int or type(last) is not int or not 1 <= first <= last:
            raise AnnotationError(
                f"{task}: a range is from {first!r:.20} to {last!r:.20}, expected frames from 1 on, in order"
            )
        found.append((first, last))
    return found


def _frames(span: Span, rate: float | None) -> dict[str, object]:
    """From frames that are counted from 1, the last included."""
    if span is None:
        return {}
    first, last = span
    if rate is None:
        return {"start_frame": first - 1, "end_frame": last}
    return {"start": f"{(first - 1) / rate:.6f}", "end": f"{last / rate:.6f}"}


def _together(
    said: Sequence[tuple[str, Mapping[str, object]]], judging: Sequence[str], asked: Asked, seen: _Seen
) -> dict[str, object]:
    """What all people say of one stretch."""
    if len(said) == 1:
        return dict(said[0][1])
    entry: dict[str, object] = {}
    for name in dict.fromkeys(name for _, values in said for name in values):
        values = {person: values[name] for person, values in said if name in values}
        if all(_is_score(name, value, asked) for value in values.values()):
            entry |= {f"judge_{judging.index(person) + 1}": value for person, value in values.items()}
            entry[name] = _mean(values.values())
        elif len(values) == len(said) and all(
            value == next(iter(values.values())) for value in values.values()
        ):
            entry[name] = next(iter(values.values()))
        else:
            seen.differing[name] += 1
    return entry


def _mean(values: Iterable) -> float:
    try:
        return statistics.fmean(values)
    except OverflowError:
        return math.inf  # which is said to be no score


def _notes(path: Path, seen: _Seen, empty: int, judges: int):
    if judges:
        yield (
            f"{path.name}: the scores of {judges} annotators are judge_1 to judge_{judges}, and final_score"
            " is the mean of those who gave one."
        )
    for name, count in seen.differing.items():
        yield f"{path.name}: annotators differ in {name!r} {count} time(s), which is left empty there."
    if seen.cancelled or empty:
        yield (
            f"{path.name}: {seen.cancelled} cancelled annotation(s) and {empty} task(s) without any are left"
            " out."
        )
    if seen.other:
        kinds = ", ".join(f"{count} {kind}" for kind, count in seen.other.items())
        yield f"{path.name}: results of other kinds are left out: {kinds}."


def _listed(value: object) -> list:
    return value if isinstance(value, list) else [value]
