"""Videos below a URL."""

from collections.abc import Iterable

from ..errors import escaped, some
from .fetched import MOST_BYTES, Fetched
from .place import Place, is_name
from .url import is_url


class RemoteVideos:
    """The files below a URL, as they were when it was listed.

    Args:
        place: they lie in.

    Raises:
        StoreError: it cannot be listed.
    """

    def __init__(self, place: Place):
        self.place = place
        self.items = {item.name: item for item in place.items() if is_name(item.name)}

    def __str__(self) -> str:
        return self.place.url

    def stamp(self, video: str) -> tuple[int, int]:
        """Size and time of modification by the store's clock, as `video.opening.video_stamp`."""
        item = self.items.get(video)
        return (item.size, item.modified_ns) if item else (0, 0)

    def fetched(self, order: Iterable[str], most_bytes: int = MOST_BYTES) -> Fetched:
        """The videos at hand, one after the other; a context manager."""
        return Fetched(self.place, self.items, most_bytes, order=list(dict.fromkeys(order)))

    def names_of(self, videos: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """For names of a table the names below this URL, and those that lead elsewhere.

        A URL is taken only if it lies below; another name is relative to it.
        """
        names, outside = {}, []
        for video in dict.fromkeys(videos):
            name = video
            if is_url(video):
                prefix = self.place.url + "/"
                name = video.removeprefix(prefix) if video.startswith(prefix) else ""
            name = name.removeprefix("./")
            if not is_name(name):
                outside.append(video)
            else:
                names[video] = name
        return names, outside

    def said_outside(self, outside: list[str]) -> str:
        """Which they are, in one line."""
        return (
            f"{len(outside)} video(s) do not lie below {self.place.url}:"
            f" {some([escaped(video) for video in outside])}; only what lies below the VIDEOS that were given"
            " is read"
        )

    def missing(self, video: str) -> str:
        """Why a sample whose video is not there has no features."""
        if any(other.startswith(video + "/") for other in self.items):
            return (
                f"{self.place.url}/{escaped(video)} is a folder, and frames in folders are not read from a"
                " URL, but from a disk; upload the video itself, or extract where the folder is on a disk"
            )
        name = video.rpartition("/")[2].rsplit(".", 1)[0].casefold()
        alike = [other for other in self.items if other.rpartition("/")[2].casefold().startswith(name)]
        near = f"; there is {alike[0]!r}" if alike else ""
        return (
            f"no such video ({self.place.url}/{escaped(video)}){near}; correct the column 'video' in the"
            " annotations, or upload it"
        )
