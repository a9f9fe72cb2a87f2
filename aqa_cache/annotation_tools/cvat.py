"""CVAT for video 1.1 (XML): tracks, each of them an action from its first frame to its last."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from ..errors import AnnotationError
from .export import Asked, Export, file_name, rows_of, with_said

TOOL = "CVAT for video 1.1"
_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "cuboid", "skeleton", "mask")
_CHOSEN = ("select", "radio", "checkbox")
_LABEL = "label"


def read_cvat(path: Path, root: ElementTree.Element, asked: Asked) -> Export:
    """A track is an action, of the frames from the first to the last in which its shape is not outside.

    Raises:
        AnnotationError: there are no tracks, or no frames in one.
    """
    tracks = root.findall("track")
    if not tracks:
        what = "images with tags or shapes" if root.find("image") is not None else "no annotation"
        raise AnnotationError(
            f"{path}: has {what}, expected tracks; mark each action by a track in a video task, and export it"
            " as 'CVAT for video 1.1'"
        )
    meta = root.find("meta/task")
    if meta is None:
        meta = root.find("meta/job")
    first, step = _numbering(path, meta)
    video = _found(meta, "source")
    kinds = _kinds_of_attributes(meta)
    entries, classes, varying = [], dict.fromkeys([_LABEL]), Counter()
    for track in tracks:
        name = f"{path}: track {track.get('id', '')!r}"
        shown = [shape for shape in track if shape.tag in _SHAPES and shape.get("outside") != "1"]
        frames = [_whole(name, shape.get("frame")) for shape in shown]
        if not frames:
            raise AnnotationError(f"{name} is outside in every frame; delete it, or mark where it is seen")
        entry: dict[str, object] = {"video": file_name(track.get("source_file") or video)}
        entry |= {"start_frame": first + step * min(frames), "end_frame": first + step * max(frames) + 1}
        entry[_LABEL] = track.get("label", "")
        said: dict[str, object] = {}
        for attribute, values in _attributes(shown).items():
            if len(values) > 1:
                varying[attribute] += 1
                continue
            said[attribute] = values[0]
            if kinds.get(attribute, _CHOSEN[0]) in _CHOSEN:
                classes[attribute] = None
        entries.append(with_said(entry, said, name))
    notes = [
        f"{path.name}: attribute {attribute!r} changes within {count} track(s), and is left out of them."
        for attribute, count in varying.items()
    ]
    if step > 1 or first:
        notes.append(f"{path.name}: the task took every {step}. frame from frame {first} on; counted so.")
    return Export(TOOL, rows_of(entries), classes=list(classes), notes=notes)


def _numbering(path: Path, meta: ElementTree.Element | None) -> tuple[int, int]:
    """The frame of the video that is the task's first, and how many lie from one to the next."""
    first, rule = _found(meta, "start_frame"), _found(meta, "frame_filter")
    step = rule.partition("step=")[2] or "1"
    if not _is_whole(first or "0") or not _is_whole(step) or not int(step):
        raise AnnotationError(
            f"{path}: start_frame is {first!r:.60} and frame_filter {rule!r:.60}, expected a number and"
            " step=N"
        )
    return int(first or 0), int(step)


def _kinds_of_attributes(meta: ElementTree.Element | None) -> dict[str, str]:
    """How each attribute is put in: select, radio, checkbox, number or text."""
    found = [] if meta is None else meta.findall("labels/label/attributes/attribute")
    return {_found(one, "name"): _found(one, "input_type") for one in found}


def _attributes(shapes: list[ElementTree.Element]) -> dict[str, list[str]]:
    """The different values of each attribute, in their order."""
    values: dict[str, dict[str, None]] = {}
    for shape in shapes:
        for attribute in shape.findall("attribute"):
            if text := (attribute.text or "").strip():
                values.setdefault(attribute.get("name", ""), {})[text] = None
    return {name: list(texts) for name, texts in values.items()}


def _found(element: ElementTree.Element | None, tag: str) -> str:
    return "" if element is None else (element.findtext(tag) or "").strip()


def _whole(name: str, text: str | None) -> int:
    if text is None or not _is_whole(text):
        raise AnnotationError(f"{name}: a frame is {text!r:.60}, expected a whole number from 0 up")
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
