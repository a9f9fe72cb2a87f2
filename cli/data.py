"""aqa-data: annotations and feature caches, in, out, and looked at."""

from aqa_cli.command import group
from aqa_cli.data_annotations import import_annotations_command
from aqa_cli.data_audit import audit
from aqa_cli.data_cache import show, verify
from aqa_cli.data_features import export, import_features
from aqa_cli.data_import import import_command
from aqa_cli.data_keypoints import import_keypoints
from aqa_cli.data_merge import merge
from aqa_cli.data_mtl_aqa import mtl_aqa_command
from aqa_cli.data_pack import pack_command
from aqa_cli.data_split import split_command


@group(epilog="\b\nExample:\n  aqa-data mtl-aqa MTL-AQA --videos videos -o videos/annotations.csv")
def data():
    """Annotations and feature caches: bring your own, take them elsewhere, look inside, check them.

    An annotations table is one CSV or .xlsx file, one row per action to be scored (docs/annotations.md); a
    feature cache is the one HDF5 file that aqa-extract writes and aqa-train reads (docs/schema.md). Nothing
    is downloaded.
    """


for _command in (
    mtl_aqa_command,
    split_command,
    import_command,
    import_annotations_command,
    import_features,
    import_keypoints,
    export,
    show,
    verify,
    audit,
    merge,
    pack_command,
):
    data.add_command(_command)
