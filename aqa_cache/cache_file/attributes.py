"""The attributes of a feature cache, each read by its type and range, and their checksum."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py

from ..clips.records import check_clip_rule, check_preprocessing
from ..disk.hdf5 import integer_attribute, text_attribute
from ..disk.plain_json import parse_json
from ..errors import AqaError
from .feature_spec import FeatureSpec, Learned, canonical_json
from .schema import ATTRIBUTES, CHECKSUM, GROUPS, MOST_DIM, ORDER, PLAIN_VIEW, TUNED


@dataclass(frozen=True)
class Attributes:
    """What the attributes of a cache say.

    Args:
        orders: per group of columns their names, in order.
    """

    spec: FeatureSpec
    views: list[str]
    numerics: dict[str, Any]
    made_by: str
    orders: dict[str, list[str]]


def read_attributes(file: h5py.File) -> Attributes:
    """Read the attributes of a file that has all of them.

    Raises:
        ValueError: one is not what docs/schema.md says, or the fingerprint or the checksum does not follow
            from them.
        One of `disk.hdf5.DAMAGE`: the file is damaged.
    """
    texts = {name: text_attribute(file, name) for name in ATTRIBUTES if name != "dim"}
    dim = integer_attribute(file, "dim")
    if not 1 <= dim <= MOST_DIM:
        raise ValueError(f"attribute 'dim' is {dim}, expected 1 to {MOST_DIM}")
    tuned = text_attribute(file, TUNED) if TUNED in file.attrs else None
    spec = FeatureSpec(
        backbone=texts["backbone"],
        layer=texts["layer"],
        dim=dim,
        weights=texts["weights"],
        weights_sha256=texts["weights_sha256"],
        preprocessing=_json(texts, "preprocessing", dict),
        clip_rule=_json(texts, "clip_rule", dict),
        tuned=None if tuned is None else Learned.from_record(_json({TUNED: tuned}, TUNED, dict)),
    )
    if spec.fingerprint != texts["fingerprint"]:
        raise ValueError(
            f"its fingerprint is {texts['fingerprint'][:12]} but its attributes give"
            f" {spec.fingerprint[:12]}: they were changed after writing"
        )
    try:
        check_preprocessing(spec.preprocessing)
        check_clip_rule(spec.clip_rule)
    except AqaError as error:
        raise ValueError(str(error)) from None
    views, numerics = _json(texts, "views", list), _json(texts, "numerics", dict)
    if not all(isinstance(view, str) for view in views) or len(set(views)) < len(views):
        raise ValueError("attribute 'views' has no different names")
    if views[:1] != [PLAIN_VIEW]:
        raise ValueError(f"the first view is {views[:1]}, expected {PLAIN_VIEW!r}")
    _check_numerics(numerics)
    ordered = {name: text_attribute(file[name], ORDER) for name in GROUPS}
    if CHECKSUM in file.attrs:
        _check_checksum(file, texts | {"dim": dim} | ({} if tuned is None else {TUNED: tuned}), ordered)
    orders = {name: _json({ORDER: text}, ORDER, list) for name, text in ordered.items()}
    if any(not isinstance(column, str) for order in orders.values() for column in order):
        raise ValueError("an attribute 'order' has names that are no text")
    return Attributes(spec, views, numerics, texts["made_by"], orders)


def checksum(attributes: Mapping[str, str | int], orders: Mapping[str, str]) -> str:
    """SHA-256 (hex) of the attributes of a cache, as docs/schema.md describes it.

    Args:
        attributes: of the root, but for `format`, `version` and this one; orders: by group.
    """
    return hashlib.sha256(canonical_json({**attributes, **orders}).encode()).hexdigest()


def _check_checksum(file: h5py.File, attributes: Mapping[str, str | int], orders: Mapping[str, str]) -> None:
    if text_attribute(file, CHECKSUM) != checksum(attributes, orders):
        raise ValueError("the checksum of its attributes fails: one of them was changed after writing")


def _json(texts: Mapping[str, str], name: str, kind: type) -> Any:
    try:
        content = parse_json(texts[name])
    except ValueError as error:
        raise ValueError(f"attribute {name!r} cannot be read as JSON: {error}") from None
    if not isinstance(content, kind):
        expected = "an object" if kind is dict else "a list"
        raise ValueError(f"attribute {name!r} is {type(content).__name__}, expected {expected} of JSON")
    return content


def _check_numerics(numerics: dict[str, Any]) -> None:
    """What this program reads of them; the rest is for people."""
    others = numerics.get("mixed_with", [])
    if not isinstance(others, list) or not all(isinstance(other, dict) for other in others):
        raise ValueError("attribute 'numerics': mixed_with is no list of objects")
    for record in (numerics, *others):
        decoding, ids = record.get("decoding", 1), record.get("not_looked_at", [])
        if not isinstance(decoding, int) or isinstance(decoding, bool):
            raise ValueError(f"attribute 'numerics': decoding is {decoding!r}, expected a whole number")
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
            raise ValueError("attribute 'numerics': not_looked_at is no list of sample_ids")
