"""A folder in which a library saved a model: its JSON, its weights, its licence; never its code."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...disk.plain_json import parse_json
from ...errors import AqaError, WeightsError, first_line

CONFIG = "config.json"
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
CARD = "README.md"

_MOST_BYTES = 1 << 20
_CARD_BYTES = 1 << 16
_LICENCE = re.compile(r"^license(_name)?:[ \t]*[\"']?([\w.+-]{1,60})[\"']?[ \t]*$", re.M)
_LIMITS = (
    (re.compile(r"-nc\b|non-?commercial", re.I), "not for commercial use"),
    (re.compile(r"^(dinov3|other|llama|openrail)", re.I), "its own terms: read them"),
)


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a `config.json`.

    Args:
        name: what a backbone of it is recorded as, without the prefix: the last part of its name on the Hub,
            or the folder's.
        origin: for people: the name it was asked for by, with the revision where that is known.
    """

    path: Path
    name: str
    origin: str

    def config(self) -> dict[str, Any]:
        """What `config.json` says.

        Raises:
            AqaError: there is none, it cannot be read, or it wants code of its own.
        """
        content = self._json(CONFIG)
        if content is None:
            raise AqaError(
                f"{self.path}: holds no {CONFIG}; expected the folder of a model, as save_pretrained of"
                " transformers or the Hub's download makes it"
            )
        if "auto_map" in content or "trust_remote_code" in content:
            raise AqaError(
                f"{self.origin}: needs code that comes with the model (auto_map in {CONFIG}), which is never"
                " run here; make its features with its own program, and bring them in with aqa-data"
                " import-features"
            )
        return content

    def processor(self) -> dict[str, Any] | None:
        """What is said of its input; None where nothing is."""
        for name in PROCESSORS:
            if (content := self._json(name)) is not None:
                for inner in ("video_processor", "image_processor"):
                    if isinstance(content.get(inner), dict):
                        return content[inner]
                return content
        return None

    def weights(self) -> Path:
        """The file of its weights, or the index of several.

        Raises:
            WeightsError: there is none.
        """
        for name in WEIGHTS:
            if (self.path / name).is_file():
                return self.path / name
        others = sorted(
            path.name for path in self.path.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".h5")
        )
        raise WeightsError(
            f"{self.path}: holds no {WEIGHTS[0]}"
            + (f", only {', '.join(others[:3])}, which may hold more than numbers" if others else "")
            + "; download that file, or save the model again as safetensors (save_pretrained does)"
        )

    def licence(self) -> str | None:
        """As its card names it; None where it does not."""
        try:
            with open(self.path / CARD, "rb") as file:
                text = file.read(_CARD_BYTES).decode("utf-8", "replace")
        except OSError:
            return None
        if not text.startswith("---"):
            return None
        found = {bool(named): value for named, value in _LICENCE.findall(text.split("\n---", 1)[0])}
        return found.get(True) or found.get(False)

    def _json(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        try:
            if not path.is_file():
                return None
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"is larger than {_MOST_BYTES >> 20} MiB")
            content = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AqaError(f"{path}: cannot be read as JSON ({first_line(error)}); copy it again") from None
        if not isinstance(content, dict):
            raise AqaError(f"{path}: is {type(content).__name__}, expected a JSON object; copy it again")
        return content


def licence_said(licence: str | None) -> str:
    """A licence, and what it limits, in a few words."""
    if licence is None:
        return "licence not said"
    limits = [words for pattern, words in _LIMITS if pattern.search(licence)]
    return f"licence {licence}" + (f": {limits[0]}" if limits else "")
