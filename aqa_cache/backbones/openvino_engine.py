"""A backbone run by OpenVINO on a CPU: converted once from the torch module, and kept.

Conversion goes through OpenVINO's PyTorch frontend itself and not `openvino.convert_model`, which reports its
use over the network.
"""

import contextlib
import hashlib
import logging
import math
import re
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from ..disk.atomic import replacing
from ..disk.tensor_file import read_tensors, sha256_of, write_tensors
from ..errors import AqaError, WeightsError, first_line, missing

_log = logging.getLogger(__name__)

HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of the precisions that it is used for."""


def openvino_version() -> str | None:
    """Of the installed package; None if there is none."""
    try:
        return metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return None


class NotConverted(AqaError):
    """OpenVINO is not there, or cannot run the network."""


class OpenVinoNetwork:
    """A converted network for batches of one shape, called as the module it was made from.

    Every batch has the same shape and threads, so that a clip's feature depends on nothing but the clip. A
    batch is computed in as many equal parts as the threads allow: threads of one part wait for each other
    after every layer, and for long beside other work; parts wait once.

    Args:
        model: of OpenVINO.
        shape: of a batch, `(batch, 3, clip_len, size, size)`.
        precision: `fp32` or `bf16`; input and output are float32 in both.
        threads: that compute.
    """

    def __init__(self, model, shape: tuple[int, ...], precision: str, threads: int):
        import openvino

        parts = math.gcd(shape[0], threads)
        model.reshape({0: [shape[0] // parts, *shape[1:]]})
        options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": parts,
            # Processes that each pin their threads to the first cores would all compute on these.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = openvino.Core().compile_model(model, "CPU", options)
        self._requests = [compiled.create_infer_request() for _ in range(parts)]

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        parts = np.split(clips.contiguous().numpy(), len(self._requests))
        with contextlib.ExitStack() as running:  # all have ended before `parts` is gone, also where one fails
            for request, part in zip(self._requests, parts, strict=True):
                request.start_async({0: part}, share_inputs=True)
                running.callback(request.wait)
        features = [request.get_output_tensor(0).data for request in self._requests]
        return torch.from_numpy(np.concatenate(features, dtype=np.float32))  # their memory is used again


class Converted:
    """A backbone's converted form, made when it is first asked for, and kept in a folder.

    Args:
        module: as published, on the CPU, in eval mode; it is not changed.
        shape: of one clip in a batch, `(1, 3, clip_len, size, size)`.
        folder: where converted networks are kept; None: nowhere.
        name: of the backbone; weights_sha256: of the file that its weights are from, hex.
        code: a digest of the network's code, for which it is kept too that its features agreed with torch's;
            None: it may change unseen, and they are compared at every start.

    Raises:
        NotConverted: OpenVINO is not installed, or broken.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        shape: tuple[int, ...],
        folder: Path | None = None,
        name: str = "",
        weights_sha256: str = "",
        code: str | None = None,
    ):
        try:
            import openvino  # noqa: F401
        except Exception as error:
            raise NotConverted(str(missing("openvino", "--engine openvino", error))) from None
        self._module, self._shape = module, shape
        made_of = (name, weights_sha256, shape, openvino_version(), torch.__version__)
        key = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
        file_name = f"{re.sub('[^0-9A-Za-z_.]', '-', name)}-{key}.safetensors"
        self._path = folder / file_name if folder else None
        self._code = code
        self._parts: tuple[bytes, bytes] | None = None
        self._from_disk = False

    def network(self, batch_size: int, precision: str, threads: int) -> OpenVinoNetwork:
        """Ready for batches of so many clips.

        Raises:
            NotConverted: OpenVINO cannot convert or run it.
        """
        try:
            return OpenVinoNetwork(self.model(), (batch_size, *self._shape[1:]), precision, threads)
        except NotConverted:
            raise
        except Exception as error:
            raise NotConverted(
                f"OpenVINO cannot run the backbone ({type(error).__name__}: {first_line(error)})"
            ) from None

    def model(self):
        """OpenVINO's own form of it, for a batch of one clip.

        Raises:
            NotConverted: OpenVINO cannot convert it.
        """
        import openvino

        if self._parts is None:
            self._parts = self._kept()
            self._from_disk = self._parts is not None
        if self._parts is None:
            self._parts = self._convert()
        return openvino.Core().read_model(*self._parts)

    def agrees(self, how: str) -> bool:
        """Whether an earlier start has compared its features with torch's, and they agreed.

        Args:
            how: all that decides them beside network and code: batch, precision, threads, processor.
        """
        found = self._agreement(how)
        try:
            return found is not None and found[0].read_text() == found[1]
        except (OSError, ValueError):
            return False

    def remember_agreement(self, how: str) -> None:
        """Let later starts do without the comparison; where the code is not known, they compare again."""
        if (found := self._agreement(how)) is not None:
            path, text = found
            try:
                with replacing(path) as temporary:
                    temporary.write_text(text)
            except (AqaError, OSError) as error:
                _log.info(f"{path} cannot be kept ({first_line(error)}); set AQA_WEIGHTS.")

    def _agreement(self, how: str) -> tuple[Path, str] | None:
        """The file that says so, and what stands in it; None where nothing may."""
        if self._path is None or self._code is None:
            return None
        try:
            network = _pin_of(self._path).read_text()
        except OSError:
            return None
        digest = hashlib.sha256(repr((self._code, network, how)).encode()).hexdigest()
        return self._path.with_suffix(f".{digest[:16]}.agrees"), digest

    def forget(self) -> bool:
        """Let the network be converted anew, where it was kept by an earlier run; whether it was."""
        was, self._from_disk = self._from_disk, False
        if was and self._path is not None:
            _pin_of(self._path).unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
            self._parts = None
        return was

    def _kept(self) -> tuple[bytes, bytes] | None:
        """What an earlier run has converted."""
        if self._path is None or (tensors := _kept(self._path)) is None:
            return None
        return tensors["graph"].numpy().tobytes(), tensors["constants"].numpy().tobytes()

    def _convert(self) -> tuple[bytes, bytes]:
        _log.info("Converting the backbone for OpenVINO, once; it is kept for later runs.")
        try:
            with tempfile.TemporaryDirectory(prefix="aqa-openvino-") as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tracing: a batch and what was traced are compared
                path = Path(folder) / "network.xml"
                _save_converted(self._module, self._shape, path)
                parts = path.read_bytes(), path.with_suffix(".bin").read_bytes()
        except Exception as error:  # tracing runs the module's own code
            raise NotConverted(
                f"OpenVINO cannot convert the backbone ({type(error).__name__}: {first_line(error)})"
            ) from None
        self._keep(*parts)
        return parts

    def _keep(self, graph: bytes, constants: bytes) -> None:
        if self._path is None:
            return
        bytes_of = {"graph": graph, "constants": constants or b"\0"}
        tensors = {
            name: torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for name, data in bytes_of.items()
        }
        _keep(self._path, tensors)


def _keep(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors)
        with replacing(_pin_of(path)) as temporary:
            temporary.write_text(sha256_of(path) + "\n")
    except (AqaError, OSError) as error:
        _log.info(f"The converted backbone cannot be kept ({first_line(error)}); set AQA_WEIGHTS.")


def _kept(path: Path) -> dict[str, torch.Tensor] | None:
    """What an earlier run has kept, if it is as it was written."""
    if not path.exists():
        return None
    # Another process may remove it at any moment, see `forget`.
    with contextlib.suppress(OSError, ValueError, WeightsError):
        if _pin_of(path).read_text().strip() == sha256_of(path):
            return read_tensors(path)
    _log.info(f"{path}: is not what was kept there; it is made anew.")
    return None


def _pin_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _save_converted(module: torch.nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write OpenVINO's form of a module, traced on one clip of zeros, to `path` and a file beside it."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    clip = torch.zeros(shape)
    logging.disable(logging.WARNING)  # tracing reads every property of a module, and some then say something
    try:
        with torch.no_grad():
            traced = torch.jit.trace(module, clip, check_trace=False)
    finally:
        logging.disable(logging.NOTSET)
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=(clip,))  # its memory is used until the end
    openvino.save_model(frontend.convert(frontend.load(decoder)), path, compress_to_fp16=False)
