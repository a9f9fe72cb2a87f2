"""The names and types of what is in a feature cache, as docs/schema.md has them; reader, writer and
verification take them from here.
"""

from ..clips.views import PLAIN

FORMAT = "aqa-feature-cache"
FRAMES = "aqa-frame-store"
"""The format of another file that lies beside a cache and may be taken for it."""
VERSION = 1
PLAIN_VIEW = PLAIN.name

ATTRIBUTES = (
    "backbone",
    "layer",
    "dim",
    "weights",
    "weights_sha256",
    "preprocessing",
    "clip_rule",
    "views",
    "fingerprint",
    "numerics",
    "made_by",
)
"""Of the root, beside `format` and `version`; every cache has them."""
TUNED = "tuned"
"""The attribute that a cache has only if its backbone was fine-tuned here."""
CHECKSUM = "attributes_sha256"
"""The attribute that a cache has only if it was written since there is one."""
ORDER = "order"
"""The attribute of the groups of columns."""
MOST_DIM = 1 << 24
"""Values of one clip's feature."""
MOST_FRAME = 1 << 53
"""Number of a frame; a number of 64 bits may be beyond it, and sums of two such are not."""
MOST_TEXT_BYTES = 1 << 20
"""Of one text; the longest in a column decides how much memory all of them take."""

FEATURES, FIRST_FRAME, PTS_SECONDS = "features", "clips/first_frame", "clips/pts_seconds"
TEXT = ("text",)
TEXT_COLUMNS = ("sample_id", "video", "split", "group", "fold", "caption")
"""Columns of the annotations that are text, where they are missing empty."""
DATASETS = {
    FEATURES: ("float16", "float32"),
    FIRST_FRAME: ("int64",),
    PTS_SECONDS: ("float64",),
    **{f"samples/{name}": TEXT for name in TEXT_COLUMNS},
    "samples/start_frame": ("int64",),
    "samples/end_frame": ("int64",),
    "samples/final_score": ("float64",),
    "samples/difficulty": ("float64",),
    "samples/judges": ("float64",),
    "samples/status": TEXT,
    "samples/reason": TEXT,
    "samples/video_size": ("int64",),
    "samples/video_mtime_ns": ("int64",),
    "samples/offset": ("int64",),
    "samples/count": ("int64",),
}
"""Every cache has these; their types, of which a writer chooses one."""
VIDEO_SHA256 = "samples/video_sha256"
"""The dataset that a cache has only if the content of videos was looked at."""
GROUPS = ("samples/classes", "samples/extra")
"""A dataset of text for every column of its kind; its name is `dataset_name` of the column's."""


def dataset_name(column: str) -> str:
    """How a column is called inside the file, where "/" and "." alone are paths.

    >>> dataset_name("per 1/2")
    'per 1%2F2'
    """
    return column.replace("%", "%25").replace("/", "%2F").replace(".", "%2E")


def column_name(dataset: str) -> str:
    """The inverse of `dataset_name`."""
    return dataset.replace("%2E", ".").replace("%2F", "/").replace("%25", "%")
