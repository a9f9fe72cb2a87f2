"""What an actor of Ray takes of a cluster, and how many find room in it."""

from dataclasses import dataclass
from typing import Any

from ..errors import AqaError
from ..extraction.configuration import ExtractionConfig


@dataclass(frozen=True)
class Room:
    """What one actor takes.

    Args:
        cpus: of a node, for decoding and, without a GPU, the backbone.
        gpus: 1 or 0.
        device: of the backbone, in the actor.
    """

    cpus: int
    gpus: int
    device: str

    def __str__(self) -> str:
        return f"{self.cpus} CPU{'s' * (self.cpus > 1)}{' and a GPU' * self.gpus}"

    @classmethod
    def of(cls, ray: Any, config: ExtractionConfig) -> "Room":
        """What is asked for; where nothing is said of CPUs, what the smallest node has for each GPU, or all
        that it has.

        Raises:
            AqaError: there is no node to go by, or one GPU of several is asked for.
        """
        if config.device not in ("auto", "cpu", "cuda"):
            raise AqaError(
                f"--device {config.device}: Ray gives each actor a GPU of its own; expected cuda, cpu or auto"
            )
        nodes = [node for node in _nodes(ray) if node.get("CPU", 0) >= 1]
        with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
        on_gpu = config.device == "cuda" or (config.device == "auto" and bool(with_gpu))
        cpus = config.threads
        if cpus is None:
            shares = [
                node["CPU"] // (node["GPU"] if on_gpu else 1) for node in (with_gpu if on_gpu else nodes)
            ]
            if not shares:
                raise AqaError(
                    f"the cluster has no node with {'a GPU' if on_gpu else 'CPUs'} yet: say with --threads"
                    " how many CPUs an actor is to have, and Ray adds nodes for it, if it can"
                )
            cpus = max(1, int(min(shares)))
        return cls(cpus, int(on_gpu), "cuda" if on_gpu else "cpu")

    def actors(self, ray: Any) -> int:
        """For how many all nodes together have room, were they empty."""
        return sum(
            int(min(node.get("CPU", 0) // self.cpus, node.get("GPU", 0) if self.gpus else float("inf")))
            for node in _nodes(ray)
        )

    def actor(self, ray: Any, kind: type, *arguments: object) -> Any:
        """A new actor; it begins when there is room for it."""
        return (
            ray.remote(kind)
            .options(
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                max_concurrency=2,
                scheduling_strategy="SPREAD",
            )
            .remote(*arguments)
        )


def _nodes(ray: Any) -> list[dict[str, float]]:
    """What each node that lives has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
