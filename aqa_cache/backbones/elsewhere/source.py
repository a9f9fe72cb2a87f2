"""From `hf:NAME` or `timm:NAME` to the folder of a model: on this machine, or fetched from the Hub."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import AqaError
from .hub import fetch
from .model_folder import CARD, CONFIG, PROCESSORS, WEIGHTS, ModelFolder

_log = logging.getLogger(__name__)

SPREAD = "+std"
"""At the end of a name: the standard deviation over the frames of a clip follows their mean."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,99}/[A-Za-z0-9][\w.-]{0,99}")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,99}")
_CACHED = re.compile(r"models--.+--(.+)")
_SMALL = (CONFIG, *PROCESSORS, CARD)
_LARGE = (*WEIGHTS, "model-*.safetensors")


@dataclass(frozen=True)
class Source:
    """Where a model is.

    Args:
        given: as a person wrote it.
        kind: `hf` or `timm`.
        spread: whether `SPREAD` was asked for.
        folder: on this machine; else repository, and what was said of its revision.
    """

    given: str
    kind: str
    spread: bool
    folder: Path | None = None
    repository: str = ""
    revision: str | None = None

    @classmethod
    def of(cls, given: str) -> "Source":
        """Read a name: `hf:FOLDER`, `hf:ORG/NAME`, `timm:NAME` (which is `timm/NAME` on the Hub), the latter
        two with `@REVISION`, all with `+std`. A folder that is there comes first.

        Raises:
            AqaError: it is neither.
        """
        kind, name = given.split(":", 1)
        spread = name.endswith(SPREAD)
        name = name.removesuffix(SPREAD)
        folder = Path(name).expanduser()
        if name and folder.is_dir():
            return cls(given, kind, spread, folder)
        repository, at, revision = name.partition("@")
        if kind == "timm" and "/" not in repository:
            repository = f"timm/{repository}"
        if not _REPOSITORY.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
            raise AqaError(
                f"backbone is {given!r}: neither a folder that is there nor a name on the Hub; expected"
                f" {kind}:FOLDER or {kind}:{'NAME' if kind == 'timm' else 'ORG/NAME'}, the latter with"
                " @REVISION or without"
            )
        return cls(given, kind, spread, None, repository, revision or None)

    def model_folder(self) -> ModelFolder:
        """The folder, at least with what is small: JSON and card.

        Raises:
            AqaError: it cannot be had.
        """
        if self.folder is not None:
            return ModelFolder(self.folder, _recorded(self.folder), f"{self.kind}:{self.folder.name}")
        path = fetch(self.repository, self.revision, _SMALL, lambda path: (path / CONFIG).is_file())
        return self._of_hub(path)

    def with_weights(self, small: ModelFolder) -> ModelFolder:
        """The same folder, with the weights, which are fetched where they are not there.

        Args:
            small: of `model_folder`, which also says which revision.
        """
        if self.folder is not None:
            return small
        path = fetch(
            self.repository,
            small.path.name,
            _LARGE,
            lambda path: any((path / name).is_file() for name in WEIGHTS),
            lambda: _log.info(f"Downloading the weights of {small.origin} from the Hub"),
        )
        return self._of_hub(path)

    def _of_hub(self, path: Path) -> ModelFolder:
        name = self.repository.split("/")[1]
        return ModelFolder(path, name, f"{self.kind}:{self.repository}@{path.name[:12]}")


def _recorded(folder: Path) -> str:
    """The last part of a model's name; in the Hub's own cache its folder has the name of the revision."""
    folder = folder.resolve()
    if folder.parent.name == "snapshots" and (found := _CACHED.fullmatch(folder.parent.parent.name)):
        return found[1]
    return re.sub(r"[^\w.-]", "-", folder.name) or "model"
