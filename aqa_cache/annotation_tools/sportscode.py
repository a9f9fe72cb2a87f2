"""The XML of Sportscode, Hudl, Nacsport and LongoMatch: instances with a code and labels."""

from pathlib import Path
from xml.etree import ElementTree

from ..errors import AnnotationError
from .export import Asked, Export, known_as, rows_of, with_said

TOOL = "Sportscode XML"
_CODE, _LABEL, _FREE_TEXT = "code", "label", "free_text"


def read_sportscode(path: Path, root: ElementTree.Element, asked: Asked) -> Export:
    """An instance is an action: its code a class, its labels classes by their group, or what the group's name
    stands for. Several labels of one group are one text.

    Raises:
        AnnotationError: no instance, or one without begin or end.
    """
    instances = root.findall("ALL_INSTANCES/instance")
    if not instances:
        raise AnnotationError(
            f"{path}: has no instance in ALL_INSTANCES; export the timeline with its instances"
        )
    entries, groups = [], dict.fromkeys([_CODE])
    for number, instance in enumerate(instances, 1):
        said = f"{path}: instance {_text(instance, 'ID') or number}"
        entry: dict[str, object] = {"start": _text(instance, "start"), "end": _text(instance, "end")}
        if not entry["start"] or not entry["end"]:
            raise AnnotationError(f"{said} has no start or no end; complete it in the timeline, or delete it")
        entry[_CODE] = _text(instance, "code")
        labels: dict[str, list[str]] = {}
        for label in instance.findall("label"):
            labels.setdefault(_text(label, "group") or _LABEL, []).append(_text(label, "text"))
        entry = with_said(entry, {group: "; ".join(texts) for group, texts in labels.items()}, said)
        groups |= dict.fromkeys(labels)
        if note := _text(instance, "free_text"):
            entry[_FREE_TEXT] = note
        entries.append(entry)
    classes = [name for name in groups if known_as(name, asked.columns) is None]
    return Export(TOOL, rows_of(entries), unit="s", classes=classes)


def _text(element: ElementTree.Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()
