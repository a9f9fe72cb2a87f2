"""Runs of a table as tasks of Ray: each is trained in a folder of its own and written whole to its place."""

import logging
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa_cache.errors import AqaError, first_line, some
from aqa_cache.remote.url import is_url

from .errors import TrainingError

if TYPE_CHECKING:
    from .runs.format import Run
    from .settings.training import TrainingConfig
    from .training.plan import Plan

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_MOST_BYTES = 2**32
"""Of a run's files, which are in memory when they are brought to their folder."""


@dataclass(frozen=True)
class RayRuns:
    """Where runs are to be trained.

    Args:
        address: of the cluster, see `aqa_cache.machine.ray_cluster.connected`.
        most: runs at once; None: as many as the cluster has room for.
        attempts: so many processes may die with a run before it fails.
    """

    address: str | None = None
    most: int | None = None
    attempts: int = 3

    def train(self, plans: "Mapping[int, Plan]") -> "Iterator[tuple[int, Run]]":
        """Train runs, each alone, and give them with their numbers as they are done.

        Args:
            plans: by any numbers; a run whose folder is to be continued begins again.

        Raises:
            AqaError: there is no such cluster; at the end, if runs failed, with their names. Those that did
                not are written.
        """
        from aqa_cache.machine.ray_cluster import connected

        failed: list[str] = []
        with connected(self.address) as ray:
            waiting, under_way = list(plans), {}
            while waiting or under_way:
                while waiting and len(under_way) < (self.most or len(plans)):
                    number = waiting.pop(0)
                    under_way[self._begin(ray, plans[number])] = number
                ready, _ = ray.wait(list(under_way), timeout=_LOOK_SECONDS)
                for reference in ready:
                    number = under_way.pop(reference)
                    made = self._made(ray, reference)
                    if isinstance(made, str):
                        failed.append(plans[number].name)
                        _log.warning(f"{plans[number].name} failed: {made}")
                    else:
                        yield number, _written(plans[number], made)
        if failed:
            raise TrainingError(
                f"{len(failed)} of {len(plans)} runs failed: {some(failed)}; the others are written, and the"
                " same command with --resume trains these alone"
            )

    def _begin(self, ray: Any, plan: "Plan") -> Any:
        """Start the task of a run; it waits until there is room for it."""
        asked = plan.config.asked
        gpus = asked.device.startswith("cuda") or (
            asked.device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1
        )
        task = ray.remote(_train).options(
            num_cpus=asked.threads or 1, num_gpus=int(gpus), max_retries=self.attempts - 1
        )
        return task.remote(_for_any_node(asked), [plan.features_sha256, plan.annotations_sha256])

    def _made(self, ray: Any, reference: Any) -> "dict[str, bytes] | str":
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            return f"{type(error.cause).__name__}: {first_line(error.cause)}"
        except ray.exceptions.RayError:
            return f"{self.attempts} process(es) died with it: killed, or the node had no memory left"


def _for_any_node(config: "TrainingConfig") -> "TrainingConfig":
    """The config with caches at paths that do not depend on the current folder, and a thread for each CPU."""
    given = config.features
    several = (given,) if isinstance(given, (str, Path)) else tuple(given)
    return replace(
        config,
        features=tuple(path if is_url(path) else Path(path).absolute() for path in several),
        vocabulary=None if config.vocabulary is None else Path(config.vocabulary).absolute(),
        threads=config.threads or 1,
        overwrite=False,
        resume=False,
    )


def _train(config: "TrainingConfig", cache: list[str]) -> "dict[str, bytes] | str":
    """In a process of Ray: the files of a run, or why there is none.

    Args:
        cache: the SHA-256 of the features and of the annotations that are meant.
    """
    from .training.run import train

    try:
        with tempfile.TemporaryDirectory(prefix="aqa-run-") as folder:
            run = train(replace(config, out=Path(folder) / "runs"))
            identity = run.config["identity"]
            if [identity["features"], identity["annotations"]] != cache:
                return f"{socket.gethostname()}: {config.features} is another file there than here"
            files = [path for path in sorted(run.folder.iterdir()) if path.is_file()]
            if sum(path.stat().st_size for path in files) > _MOST_BYTES:
                return f"its files have more than {_MOST_BYTES:,} bytes; train it without --ray"
            return {path.name: path.read_bytes() for path in files}
    except AqaError as error:
        return f"{socket.gethostname()}: {error}"


def _written(plan: "Plan", files: Mapping[str, bytes]) -> "Run":
    """The run, in its folder by one rename."""
    from .runs.folder import new_run_folder
    from .runs.format import read_run

    config = plan.config
    with new_run_folder(plan.folder, config.overwrite, config.resume) as work:
        work.forget()  # of an earlier run here, which is not gone on with
        for name, content in files.items():
            (work.path / name).write_bytes(content)
    return read_run(plan.folder)
