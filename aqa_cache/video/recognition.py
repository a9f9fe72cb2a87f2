"""What on a disk is a video: by the names of files and the contents of folders; nothing is opened."""

import re
from pathlib import Path

from .frame_folder import IMAGE_SUFFIXES

# Not .gif, though it can be decoded: beside videos and among frames it is a picture. One that is named in the
# annotations is read.
VIDEO_SUFFIXES = frozenset(
    """
    .3g2 .3gp .asf .avi .divx .dv .f4v .flv .ivf .m1v .m2p .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mod .mov
    .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .ogm .ogv .qt .rm .rmvb .tod .trp .ts .vob .webm .wmv .wtv .y4m
    """.split()
)
_NUMBERED = re.compile(r"[0-9]$")


def is_video(path: Path) -> bool:
    """Whether a path looks like a video: a file with a known suffix, or a folder of frames.

    A folder of frames holds images and no file with such a suffix. With sub-folders beside them, its images
    are frames only if two or more have names that end in a number and no video lies below; else they are
    pictures beside what the sub-folders hold.

    Raises:
        OSError: a folder cannot be read.
    """
    if not path.is_dir():
        return path.suffix.lower() in VIDEO_SUFFIXES
    children = [child for child in path.iterdir() if not child.name.startswith(".")]
    suffixes = {child.suffix.lower() for child in children}
    if not suffixes & IMAGE_SUFFIXES or suffixes & VIDEO_SUFFIXES:
        return False
    # Only of what has no image's name: a folder may hold many, and on a network each question takes time.
    folders = [child for child in children if not is_image(child) and child.is_dir()]
    if not folders:
        return True
    numbered = sum(is_image(child) and bool(_NUMBERED.search(child.stem)) for child in children)
    if numbered >= 2:
        return not any(_holds(folder, VIDEO_SUFFIXES) for folder in folders if not folder.is_symlink())
    return not any(_holds(folder, VIDEO_SUFFIXES | IMAGE_SUFFIXES) for folder in folders)


def is_image(path: Path) -> bool:
    """Whether a path looks like one frame of a folder of frames."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def _holds(folder: Path, suffixes: frozenset[str]) -> bool:
    """Whether a file with one of these suffixes lies in a folder, at any depth; links to folders are not
    followed, as they may lead back.
    """
    children = [child for child in folder.iterdir() if not child.name.startswith(".")]
    if any(child.suffix.lower() in suffixes for child in children):
        return True
    return any(_holds(child, suffixes) for child in children if child.is_dir() and not child.is_symlink())
