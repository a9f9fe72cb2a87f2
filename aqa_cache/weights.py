"""Backbone weights: where published ones come from, how their keys are named, and what input they expect.

Nothing is unpickled but tensors, nothing is downloaded without being said, and nothing is loaded in part.
"""

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .atomic import replacing
from .backbones import Backbone, get_backbone
from .errors import WeightsError, first_line
from .preprocess import Preprocessing

RANDOM = "random"


@dataclass(frozen=True)
class KeyLayout:
    """How a publisher names the parameters of a backbone.

    Args:
        marker: a key (after `module.` and `backbone.` are stripped) that only this layout has.
        rename: pairs of regular expression and replacement, applied in order, to our names.
        head: prefixes, in the publisher's names, of layers above the feature; they are left out.
    """

    name: str
    backbone: str
    marker: str
    rename: tuple[tuple[str, str], ...]
    head: tuple[str, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class WeightsRecord:
    """Published weights.

    Args:
        url: where the file is.
        sha256: what its SHA-256 begins with (hex), as published; empty where nothing is published: the first download pins it.
        layout: name of its key layout, which also says what input it expects.
        note: what a user should know of them.
    """

    name: str
    backbone: str
    url: str
    sha256: str
    layout: str
    note: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


_KINETICS_MEAN, _KINETICS_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
_UNIT = (1.0, 1.0, 1.0)

LAYOUTS = {
    layout.name: layout
    for layout in (
        KeyLayout(
            "torchvision-s3d", "s3d", "features.0.0.0.weight", (), ("classifier.",),
            # torchvision's own transforms of KINETICS400_V1
            Preprocessing(resize=(256, 256), crop=224, mean=_KINETICS_MEAN, std=_KINETICS_STD),
        ),
        KeyLayout(
            "kylemin-s3d", "s3d", "base.0.conv_s.weight",
            (
                (r"^base\.", "features."), (r"\.conv_s\.", ".0.0."), (r"\.bn_s\.", ".0.1."), (r"\.conv_t\.", ".1.0."),
                (r"\.bn_t\.", ".1.1."), (r"\.conv\.", ".0."), (r"\.bn\.", ".1."), (r"branch0\.0\.([01])\.", r"branch0.\1."),
            ),
            ("fc.",),
            # The author feeds [-1, 1], in training and testing (kylemin/S3D issue 4).
            Preprocessing(resize=(256, 256), crop=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
        KeyLayout(
            "c3d-pytorch", "c3d", "conv1.weight", (), ("fc6.", "fc7.", "fc8."),
            # Converted from Caffe: 0 to 255, BGR, mean of Sports-1M (DavideA/c3d-pytorch issue 1).
            Preprocessing(
                resize=(128, 171), crop=112, mean=(90.25, 97.66, 101.41), std=_UNIT, value_range=255.0, channel_order="bgr"
            ),
        ),
        KeyLayout(
            "mmaction2-c3d", "c3d", "conv1a.conv.weight",
            ((r"^conv([12])a\.conv\.", r"conv\1."), (r"^(conv[345][ab])\.conv\.", r"\1.")),
            ("fc6.", "fc7.", "fc8.", "cls_head."),
            # mmaction2's test pipeline: shorter side 128, RGB, mean 104 117 128.
            Preprocessing(resize=128, crop=112, mean=(104.0, 117.0, 128.0), std=_UNIT, value_range=255.0),
        ),
    )
}  # fmt: skip

WEIGHTS = {
    record.name: record
    for record in (
        WeightsRecord(
            "s3d-kinetics400", "s3d", "https://download.pytorch.org/models/s3d-d76dad2f.pth", "d76dad2f", "torchvision-s3d",
            "torchvision KINETICS400_V1, trained on clips of 128 frames at 15 fps; a 16-frame clip is far shorter",
        ),
        WeightsRecord(
            "c3d-sports1m-mmaction2", "c3d",
            "https://download.openmmlab.com/mmaction/recognition/c3d/c3d_sports1m_pretrain_20201016-dcc47ddc.pth", "dcc47ddc",
            "mmaction2-c3d", "Sports-1M, converted by mmaction2",
        ),
        WeightsRecord(
            "c3d-sports1m", "c3d", "http://imagelab.ing.unimore.it/files/c3d_pytorch/c3d.pickle", "", "c3d-pytorch",
            "Sports-1M, the file that MTL-AQA used",
        ),
    )
}  # fmt: skip

# The only keys a published file may lack: counters that inference does not read.
_OPTIONAL = re.compile(r"\.num_batches_tracked$")


@dataclass(frozen=True)
class Weights:
    """Weights on disk, ready to be loaded.

    Args:
        name: for people: the published name, the file's name, or `random (seed 0)`.
        path: the file, in our own key names or a known layout.
        sha256: of the file, hex.
        preprocessing: the input they expect.
    """

    name: str
    path: Path
    sha256: str
    preprocessing: Preprocessing

    @property
    def random(self) -> bool:
        return self.name.startswith(RANDOM)


def resolve_weights(
    backbone: str, source: str | None = None, *, random_path: Path | None = None, say: Callable[[str], None] = print
) -> Weights:
    """Find the weights that a name or a path stands for; download published ones at first use.

    Args:
        source: the name of published weights, a path, `random`, or None for the backbone's own default.
        random_path: where random weights lie, or are made if they do not.
        say: is told what is downloaded, and what was pinned.

    Raises:
        WeightsError: unknown name, no such file, failed download, or a hash that does not match.
    """
    record = get_backbone(backbone)
    source = source or record.weights
    if source == RANDOM:
        assert random_path is not None
        if not random_path.exists():
            make_random_weights(record, random_path)
        layout = next(layout for layout in LAYOUTS.values() if layout.backbone == backbone)
        return Weights(f"{RANDOM} (seed 0)", random_path, sha256_of(random_path), layout.preprocessing)
    if source in WEIGHTS:
        published = WEIGHTS[source]
        if published.backbone != backbone:
            raise WeightsError(
                f"weights {source!r} are for {published.backbone}, not for {backbone}; {_choices(backbone)}"
            )
        path = download(published, say=say)
        return Weights(source, path, sha256_of(path), LAYOUTS[published.layout].preprocessing)
    path = _weights_file(source, backbone)
    layout = detect_layout(backbone, _strip(read_tensors(path)), path)
    return Weights(path.name, path, sha256_of(path), layout.preprocessing)


def choose_for(backbone: str, sources: tuple[str, ...]) -> str | None:
    """Of several weights, given once per backbone, the one for `backbone`.

    Args:
        sources: names, paths, `random`, or `published`, which stands for every backbone's own default.

    Returns:
        What `resolve_weights` takes: a name, a path, `random`, or None for the backbone's default.

    Raises:
        WeightsError: none of them is for this backbone.
    """
    for source in sources:
        if source == "published":
            return None
        if source == RANDOM:
            return RANDOM
        if source in WEIGHTS:
            fits = WEIGHTS[source].backbone == backbone
        else:
            tensors = _strip(read_tensors(_weights_file(source, backbone)))
            fits = any(layout.marker in tensors for layout in LAYOUTS.values() if layout.backbone == backbone)
        if fits:
            return source
    raise WeightsError(f"none of the weights {', '.join(sources)} is for {backbone}; {_choices(backbone)}")


def load_weights(module: nn.Module, backbone: str, weights: Weights) -> None:
    """Load weights into a backbone; every parameter must be there, with its shape, and nothing may be left over.

    Raises:
        WeightsError: with the counts and the first few names.
    """
    tensors = _strip(read_tensors(weights.path))
    layout = detect_layout(backbone, tensors, weights.path)
    renamed = {}
    for key, tensor in tensors.items():
        if key.startswith(layout.head):
            continue
        for pattern, replacement in layout.rename:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    expected = module.state_dict()
    lacking = [key for key in expected if key not in renamed and not _OPTIONAL.search(key)]
    surplus = [key for key in renamed if key not in expected]
    unequal = [
        f"{key} {tuple(renamed[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in renamed and renamed[key].shape != expected[key].shape
    ]
    if lacking or surplus or unequal:
        complaints = [
            f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in (("missing", lacking), ("unknown", surplus), ("of another shape", unequal))
            if names
        ]
        matching = len(expected) - len(lacking) - len(unequal)
        raise WeightsError(
            f"{weights.path}: does not fit {backbone}: {matching} of {len(expected)} parameters match; "
            + "; ".join(complaints)
        )
    module.load_state_dict(renamed, strict=False)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of one that `torch.save` wrote; no other object is ever created.

    Raises:
        WeightsError: the file is neither, or holds more than tensors.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: cannot be read as safetensors ({error}); copy or download it again") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets
        raise WeightsError(
            f"{path}: cannot be read as weights ({first_line(error)}); expected a .safetensors file, or a state dict saved by torch.save "
            "that holds tensors only"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if (
        not isinstance(content, dict)
        or not all(isinstance(value, torch.Tensor) for value in content.values())
        or not content
    ):
        raise WeightsError(f"{path}: holds {type(content).__name__}, expected a state dict: tensors by parameter name")
    return content


def detect_layout(backbone: str, tensors: dict[str, torch.Tensor], path: Path) -> KeyLayout:
    """The layout whose marker is among the keys.

    Raises:
        WeightsError: no layout of this backbone is.
    """
    for layout in LAYOUTS.values():
        if layout.marker in tensors:
            if layout.backbone != backbone:
                raise WeightsError(
                    f"{path}: holds weights for {layout.backbone} (layout {layout.name}), not for {backbone}"
                )
            return layout
    known = ", ".join(f"{layout.name} ({layout.marker})" for layout in LAYOUTS.values() if layout.backbone == backbone)
    raise WeightsError(
        f"{path}: its {len(tensors)} keys ({', '.join(list(tensors)[:3])}, …) match no known layout of {backbone}: {known}"
    )


def make_random_weights(backbone: Backbone, path: Path, seed: int = 0) -> None:
    """Make and save random weights that still carry signal.

    He initialisation (He et al. 2015, fan-in, zero biases), and batch-norm statistics from one fixed seeded batch of smooth
    noise; left as constructed, S3D would give features near 1e-5. Made in float64 on one thread, saved as float32.

    Args:
        path: a `.safetensors` file, written at once.
    """
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            module = backbone.build().double()
        for layer in module.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm3d)]
        if norms:
            for norm in norms:
                norm.momentum = 1.0
            coarse = torch.randn(4, 3, 4, 8, 8, generator=generator, dtype=torch.float64)
            batch = nn.functional.interpolate(coarse, (16, 64, 64), mode="trilinear")
            with torch.no_grad():
                module.train()(batch)
    finally:
        torch.set_num_threads(threads)
    tensors = {
        key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in module.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary)


def weights_folder() -> Path:
    """Where downloaded weights are kept: `$AQA_WEIGHTS`, else `aqa-cache/weights` in the user's cache folder."""
    if folder := os.environ.get("AQA_WEIGHTS"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aqa-cache" / "weights"


def download(record: WeightsRecord, folder: Path | None = None, say: Callable[[str], None] = print) -> Path:
    """Download published weights once, and check them at every use.

    A file whose publisher gives no hash is pinned: its SHA-256 is printed and written beside it at the first download, and
    checked from then on.

    Raises:
        WeightsError: the server does not answer, or the hash does not match.
    """
    folder = folder or weights_folder()
    path = folder / record.file_name
    pin = path.with_name(path.name + ".sha256")
    if path.exists():
        expected = record.sha256 or (pin.read_text().strip() if pin.exists() else "")
        actual = sha256_of(path)
        if not actual.startswith(expected):
            raise WeightsError(
                f"{path}: has SHA-256 {actual}, expected {expected}…; delete it, and it is downloaded again"
            )
        if not expected:
            _pin(pin, actual, path, say)
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{folder}: cannot be made ({error.strerror}); set AQA_WEIGHTS to a folder you can write"
        ) from None
    say(f"Downloading {record.name} ({record.note}) from {record.url}")
    with replacing(path) as temporary:
        try:
            with urllib.request.urlopen(record.url, timeout=60) as response, open(temporary, "wb") as file:
                declared = response.headers.get("Content-Length")
                while block := response.read(1 << 20):
                    file.write(block)
                received = file.tell()
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise WeightsError(
                f"{record.name}: cannot be downloaded from {record.url} ({reason}); fetch it by other means and give its path "
                "with --weights, or use --weights random to try the tool"
            ) from None
        if declared is not None and received != int(declared):
            raise WeightsError(f"{record.name}: the download stopped after {received} of {declared} bytes; run again")
        actual = sha256_of(temporary)
        pinned = pin.read_text().strip() if pin.exists() else ""
        expected = record.sha256 or pinned
        if not actual.startswith(expected):
            raise WeightsError(
                f"{record.name}: {record.url} sent a file with SHA-256 {actual}, expected {expected}…; not kept"
            )
        read_tensors(temporary)  # a page that says "moved" is no weights file, and must not be pinned
    if not expected:
        _pin(pin, actual, path, say)
    return path


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pin(pin: Path, sha256: str, path: Path, say: Callable[[str], None]) -> None:
    pin.write_text(sha256 + "\n")
    say(f"{path.name}: no hash is published for it; pinned SHA-256 {sha256} in {pin}")


def _strip(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in ("module.", "backbone."):
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def _weights_file(source: str, backbone: str) -> Path:
    path = Path(source).expanduser()
    if not path.is_file():
        raise WeightsError(f"weights {source!r} are neither a published name nor a file; {_choices(backbone)}")
    return path


def _choices(backbone: str) -> str:
    names = [record.name for record in WEIGHTS.values() if record.backbone == backbone]
    return f"choose {', '.join(names)}, {RANDOM}, or a path"
