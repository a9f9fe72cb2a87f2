"""How fast other engines run a backbone on this CPU, beside ours, in one run and in turn."""

import copy
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from ...backbones.inference import Model
from ...backbones.openvino_engine import Converted
from ...backbones.registry import for_inference
from ...clips.preprocess import normalise
from ...errors import AqaError, first_line
from ..configuration import ExtractionConfig
from ..loading import load_backbone

_log = logging.getLogger(__name__)

EAGER, ONNX_RUNTIME, OPENVINO = "torch, as published", "ONNX Runtime", "OpenVINO"
OURS = {"torch": "ours, torch", "openvino": "ours, OpenVINO"}
CONTENDERS = (EAGER, ONNX_RUNTIME, OPENVINO, *OURS.values())
_CPU = torch.device("cpu")
_PACKAGES = {EAGER: "torch", ONNX_RUNTIME: "onnxruntime", OPENVINO: "openvino"}


@dataclass(frozen=True)
class PeerRow:
    """Clips per second of one backbone in fp32, medians of the rounds.

    Args:
        batch: clips at once.
        rates: by the names of `CONTENDERS`; those that are not installed, or do not run it, are left out.
    """

    backbone: str
    size: int
    threads: int
    batch: int
    rates: dict[str, float]

    @property
    def of_openvino(self) -> float | None:
        """What `aqa-extract` takes by itself, of OpenVINO alone; None where that is not there."""
        if OPENVINO not in self.rates:
            return None
        ours = self.rates.get(OURS["openvino"], self.rates[OURS["torch"]])
        return ours / self.rates[OPENVINO]


def measure_peers(
    config: ExtractionConfig,
    threads: Sequence[int] = (1, 2),
    batches: Sequence[int] = (1, 8),
    *,
    rounds: int = 3,
    seconds: float = 1.0,
    limit: float = 20.0,
    longest: float = math.inf,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[PeerRow]:
    """Measure a backbone in every engine that is installed, with random weights.

    Ours start from frames as they are decoded, the others from arrays as they take them.

    Args:
        rounds: in each, every engine has its turn of `seconds`, but at least one batch; torch as published,
            which nobody waits for, has one turn in all.
        limit: seconds that a batch may take in torch as published; else it is made smaller, and the row says
            its size.
        longest: seconds of a row after which no further round is begun.
        progress: told what is being measured.

    Raises:
        AqaError: the configuration cannot be run here.
    """
    config, before, rows = replace(config, device="cpu", precision="fp32"), torch.get_num_threads(), []
    try:
        with tempfile.TemporaryDirectory(prefix="aqa-peers-") as folder:
            bench = _Bench(config, Path(folder))
            for count in threads:
                torch.set_num_threads(count)
                fits = max(1, int(limit / bench.seconds_of_a_clip()))
                for batch in dict.fromkeys(min(size, fits) for size in batches):
                    progress(f"{config.backbone}, {bench.size} px, {count} thread(s), batch {batch}")
                    runs = bench.contenders(batch, count)
                    eager = {name: runs.pop(name) for name in (EAGER,) if name in runs}
                    rates = rates_in_turn(eager, batch, 1, 0)
                    rates |= rates_in_turn(runs, batch, rounds, seconds, longest)
                    rows.append(PeerRow(config.backbone, bench.size, count, batch, rates))
    finally:
        torch.set_num_threads(before)
    return rows


def rates_in_turn(
    runs: dict[str, Callable[[], object]],
    clips: int,
    rounds: int,
    seconds: float,
    longest: float = math.inf,
) -> dict[str, float]:
    """Median clips per second of each of `runs`, which take turns; a run is of so many clips. After `longest`
    seconds no further round is begun but the first.
    """
    rates: dict[str, list[float]] = {name: [] for name in runs}
    until = time.perf_counter() + longest
    for run in runs.values():
        run()  # what is made at the first batch
    for number in range(rounds):
        if number and time.perf_counter() > until:
            break
        for name, run in runs.items():
            done, started = 0, time.perf_counter()
            while not done or time.perf_counter() - started < seconds:
                run()
                done += clips
            rates[name].append(done / (time.perf_counter() - started))
    return {name: statistics.median(each) for name, each in rates.items()}


def versions() -> dict[str, str]:
    """Of the engines that are installed, by package."""
    found = {}
    for package in _PACKAGES.values():
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


class _Bench:
    """A backbone in all engines."""

    def __init__(self, config: ExtractionConfig, folder: Path):
        self._config, self._folder = config, folder
        self._weights = folder / "weights.safetensors"
        module, _, self._preprocessing = load_backbone(config, self._weights)
        self._module = module.eval().requires_grad_(False)
        self.size, self._length = self._preprocessing.crop, config.clip_rule.clip_len
        self._lacking: set[str] = set()
        self._converted: Converted | None = None
        self._laid_out: torch.nn.Module | None = None

    def seconds_of_a_clip(self) -> float:
        run = self._eager(self._arrays(1)[1])
        run()
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    def contenders(self, batch: int, threads: int) -> dict[str, Callable[[], object]]:
        clips, arrays = self._arrays(batch)
        makers: dict[str, Callable[[], Callable[[], object]]] = {
            EAGER: lambda: self._eager(arrays),
            ONNX_RUNTIME: lambda: self._onnx_runtime(arrays, threads),
            OPENVINO: lambda: self._openvino(arrays, threads),
        }
        makers |= {
            name: lambda engine=engine: self._ours(clips, engine, threads) for engine, name in OURS.items()
        }
        runs = {}
        for name, make in makers.items():
            if name in self._lacking:
                continue
            try:
                runs[name] = make()
            except Exception as error:  # whatever the other library raises
                self._lacking.add(name)
                _log.info(f"{name} is not measured: {type(error).__name__}: {first_line(error)}")
        return runs

    def _arrays(self, batch: int) -> tuple[list[np.ndarray], np.ndarray]:
        shape = (batch, self._length, self.size, self.size, 3)
        clips = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return list(clips), normalise(torch.from_numpy(clips), self._preprocessing).contiguous().numpy()

    def _eager(self, arrays: np.ndarray) -> Callable[[], object]:
        def run() -> np.ndarray:
            with torch.inference_mode():
                return self._module(torch.from_numpy(arrays)).numpy()

        return run

    def _onnx_runtime(self, arrays: np.ndarray, threads: int) -> Callable[[], object]:
        import onnxruntime  # pyright: ignore[reportMissingImports]

        path = self._folder / f"{len(arrays)}.onnx"
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.onnx.export(self._module, (torch.from_numpy(arrays),), str(path), dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: arrays})[0]

    def _openvino(self, arrays: np.ndarray, threads: int) -> Callable[[], object]:
        import openvino

        model = self._form().model()
        model.reshape({0: list(arrays.shape)})
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(model, "CPU", options)
        return lambda: compiled({0: arrays}, share_inputs=True)[0]  # as fast as it can be called

    def _ours(self, clips: list[np.ndarray], engine: str, threads: int) -> Callable[[], object]:
        if engine == "openvino":
            network = self._form().network(len(clips), "fp32", threads)
        else:
            self._laid_out = self._laid_out or for_inference(copy.deepcopy(self._module), _CPU, torch.float32)
            network = self._laid_out
        model = Model(network, _CPU, "fp32", self._preprocessing, len(clips))
        return lambda: model.forward(clips)

    def _form(self) -> Converted:
        if self._converted is None:
            shape = (1, 3, self._length, self.size, self.size)
            self._converted = Converted(self._module, shape, self._folder, self._config.backbone)
        return self._converted


def check(config: ExtractionConfig) -> None:
    """Raise AqaError unless this can be measured beside others: on a CPU, in fp32."""
    if config.device not in ("auto", "cpu") or config.precision != "fp32":
        raise AqaError("--peers compares engines on a CPU in fp32; leave --device and --precision out")
