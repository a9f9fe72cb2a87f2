"""Models by their names on the Hub, from a server on this machine, by the client in its own process."""

import os
import shutil
import subprocess
import sys

import pytest
from hub_server import hub_of
from model_folders import saved_by_transformers

pytestmark = pytest.mark.extra
pytest.importorskip("transformers")

COMMIT = "0123456789abcdef" * 2 + "01234567"
CODE = """
import logging, sys
from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.errors import AqaError
from aqa_cache.weights.resolving import resolve_weights
log = logging.getLogger("aqa_cache")
log.addHandler(logging.StreamHandler(sys.stdout))
log.setLevel("INFO")
for given in sys.argv[1:]:
    try:
        name = KNOWN_BACKBONES.give(given)
        print(name, resolve_weights(name).name, sep=" | ")
    except AqaError as error:
        print(error)
"""


def resolved(address, home, *names):
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(home)}
    for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
        environment.pop(name, None)
    result = subprocess.run(
        [sys.executable, "-c", CODE, *names], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    saved_by_transformers(root / "tiny", "vjepa2", licence="cc-by-nc-4.0")
    (root / "tiny" / "modeling.py").write_text("raise SystemExit")
    shutil.copytree(root / "tiny", root / "unsafe")
    (root / "unsafe" / "model.safetensors").rename(root / "unsafe" / "pytorch_model.bin")
    return {f"org/{name}": (COMMIT, root / name) for name in ("tiny", "unsafe")} | {
        "org/gated": (COMMIT, root / "tiny")
    }


def test_a_model_is_fetched_once_in_parts_that_are_needed_and_kept_to(models, tmp_path):
    with hub_of(models) as (address, asked):
        lines = resolved(address, tmp_path, "hf:org/tiny")
        said = f"hf:org/tiny@{COMMIT[:12]}"
        assert lines == [
            f"{said}: licence cc-by-nc-4.0: not for commercial use.",
            f"Downloading the weights of {said} from the Hub",
            f"hf:tiny | {said} (licence cc-by-nc-4.0: not for commercial use)",
        ]
        fetched = {path.split("/")[-1] for path in asked if "/resolve/" in path}
        assert fetched == {"config.json", "video_preprocessor_config.json", "README.md", "model.safetensors"}
        asked.clear()
        assert resolved(address, tmp_path, f"hf:org/tiny@{COMMIT}", "hf:org/tiny")[-1] == lines[-1]
        assert asked == []
    assert resolved("http://127.0.0.1:9", tmp_path, "hf:org/tiny")[-1] == lines[-1], "without a network too"


def test_what_the_hub_does_not_give_is_one_message(models, tmp_path):
    names = ("hf:org/none", "hf:org/tiny@v9", "hf:org/gated", "hf:org/unsafe")
    with hub_of(models, gated=["org/gated"]) as (address, _):
        none, revision, gated, *_, unsafe = resolved(address, tmp_path, *names)
    assert none.startswith("org/none: there is no such model on the Hub, or it is not public; look for it on")
    assert revision.startswith(
        "org/tiny: has no revision v9; see https://huggingface.co/org/tiny/commits/main"
    )
    assert gated.startswith("org/gated: is published only to those who accept its terms; do so on https://hu")
    assert "lacks what is needed of model.safetensors" in unsafe and "hf download org/unsafe" in unsafe
