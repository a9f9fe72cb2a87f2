"""Why a file cannot be read as a video, as far as its first bytes tell, and what to do about it."""

import re
from pathlib import Path

from .layout.mp4 import boxes, outer_boxes, video_tracks
from .layout.promised import promised_bytes

_HEAD_BYTES = 4096
_SHOWN = 40
_AGAIN = "download or copy it again"
_RE_ENCODE = "ffmpeg -i IN -c:v libx264 -crf 18 OUT.mp4"
_RE_ENCODE_IF_IT_PLAYS = f"if a player shows it, re-encode it: {_RE_ENCODE}; else {_AGAIN}"
# Archives and documents that a download may be instead of a video; their first bytes.
_OTHER_FILES = {
    b"PK\x03\x04": ("a ZIP archive", "unpack it"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"\x1f\x8b": ("gzip-compressed", "unpack it"),
    b"BZh": ("bzip2-compressed", "unpack it"),
    b"\xfd7zXZ\x00": ("xz-compressed", "unpack it"),
    b"%PDF-": ("a PDF document", "fetch the video"),
    b"\x89HDF\r\n": ("an HDF5 file", "name the video"),
    b"\x80\x02": ("a Python pickle", "name the video"),
    b"\x93NUMPY": ("a NumPy array", "name the video"),
}
_PLAYLIST = re.compile(
    r"\s*(ffconcat |#EXTM3U|\[playlist\]|v=0\s|<asx|<smil|(<\?xml[^>]*>\s*)?<MPD)", re.IGNORECASE
)
_NO_DECODER = re.compile("not implemented|not found|patches welcome", re.IGNORECASE)


def why_unopened(path: Path, error: str) -> str:
    """What is wrong with a file in which no video was found, and a next step.

    Args:
        error: what libav says of it.
    """
    if cause := _cause(path):
        return cause
    if cut := _cut(path):
        return f"cannot be opened as a video ({error}), since it is cut, {cut}; {_AGAIN}"
    return f"cannot be opened as a video ({error}); its first bytes do not tell why; {_RE_ENCODE_IF_IT_PLAYS}"


def why_no_decoder(path: Path) -> str:
    """What is wrong with a video whose stream has no decoder, and a next step."""
    if cause := _cause(path):
        return cause
    codecs = [track.codec for track in video_tracks(path) if track.codec.isprintable()]
    named = f" ({codecs[0]})" if codecs else ""
    return f"has no decoder here for its codec{named}; re-encode it: {_RE_ENCODE}"


def why_no_stream(path: Path, kinds: str) -> str:
    """What is wrong with a file that opens and has no video stream, and a next step.

    Args:
        kinds: of the streams that it has.
    """
    if cause := _cause(path):
        return cause
    return f"has no video stream (its streams: {kinds}); name the file that has the pictures, or {_AGAIN}"


def what_to_do(path: Path, error: str = "") -> str:
    """The next step for a video that opens, but of which not one frame can be decoded.

    Args:
        error: what libav says of it; empty where it has no fault but no frame either.
    """
    if _NO_DECODER.search(error):
        return f"the decoder here does not know this kind of its codec; re-encode it: {_RE_ENCODE}"
    if cut := _cut(path):
        return f"the file is cut, {cut}; {_AGAIN}"
    return _RE_ENCODE_IF_IT_PLAYS if error else "get it again"


def _cause(path: Path) -> str:
    """What a file is instead of a video, or what of a video is missing; empty where its bytes do not tell."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
        return _by_first_bytes(head) or _by_boxes(path)
    except OSError as error:
        return f"cannot be read ({error.strerror}); see that its file and folder may be read"


def _by_first_bytes(head: bytes) -> str:
    if not head:
        return f"has zero bytes; {_AGAIN}"
    if not head.strip(b"\0"):
        return (
            f"has nothing but zeros at its beginning, as a download that was begun and not finished; {_AGAIN}"
        )
    for begins, (what, step) in _OTHER_FILES.items():
        if head.startswith(begins):
            return f"is {what}, not a video; {step}"
    text = _text(head)
    if text is None:
        return ""
    if text.startswith("version https://git-lfs"):
        return "is a Git LFS pointer, which stands for a video that was not fetched; fetch it: git lfs pull"
    if re.search(r"<!doctype html|<html|<head|<body", text, re.IGNORECASE):
        return (
            "is an HTML page, not a video: what a site sends in place of a file that is gone or needs a"
            " login; open its address in a browser, and download the video itself"
        )
    if _PLAYLIST.match(text):
        return "is a list of other files, and only what lies in a file itself is read; name the videos in it"
    first = " ".join(text.split())[:_SHOWN]
    return f"is text, not a video (it begins {first!r}); read it, it may say why, then {_AGAIN}"


def _text(head: bytes) -> str | None:
    """The bytes as text, if that is what they are."""
    for encoding in ("utf-16",) if head[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            # The last character may be cut.
            text = head.decode(encoding, "strict" if len(head) < _HEAD_BYTES else "ignore")
        except UnicodeDecodeError:
            return None
        lost = len(head) - len(text.encode(encoding))
        if lost <= 4 and text.strip() and all(one.isprintable() or one.isspace() for one in text):
            return text
    return None


def _by_boxes(path: Path) -> str:
    """Of MP4 and QuickTime: whether the index is there and whole."""
    found = outer_boxes(path)
    if not found:
        return ""
    size = path.stat().st_size
    index = next((box for box in found if box.kind == b"moov"), None)
    if index is None:
        cut = f" and it is cut, {_cut(path)}" if _cut(path) else ""
        return (
            f"has no index (no moov atom){cut}: a recording or download that did not finish; {_AGAIN}, and if"
            " there is no other copy, a repair tool such as untrunc can rebuild the index from a whole file"
            " of the same camera"
        )
    if index.end > size:
        return (
            f"is cut inside its index (the moov atom), {_cut(path)}, so its frames cannot be found; {_AGAIN}"
        )
    with open(path, "rb") as file:
        tracks = sum(box.kind == b"trak" for box in boxes(file, index.start, index.end))
    if not tracks:
        return f"has an index without a single track; {_AGAIN}"
    return ""


def _cut(path: Path) -> str:
    """How much of a file is there, if it is shorter than its header promises; else empty."""
    try:
        promised, size = promised_bytes(path), path.stat().st_size
    except OSError:
        return ""
    if promised is None or promised <= size:
        return ""
    return f"{size:,} of at least {promised:,} bytes are there"
