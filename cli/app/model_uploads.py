"""Packed models that people add: looked at whole, as `aqa-score` does, before one is kept."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from aqa_cache.errors import AqaError
from aqa_heads.scoring.packed import SUFFIX

from .arrivals import Arrivals
from .folder import Folder, file_name
from .models import Model, Models, packed_model
from .refused import Refused


class ModelUploads:
    """Takes packed models into `runs/`, beside those that were trained here.

    Args:
        models: among which it stands then.
    """

    def __init__(self, folder: Folder, arrivals: Arrivals, models: Models):
        self._folder, self._arrivals, self._models = folder, arrivals, models
        self._naming = threading.Lock()

    async def take(self, said: str, length: int | None, pieces: AsyncIterator[bytes]) -> Model:
        """Take in an upload; what is no whole model of `aqa-data pack` leaves nothing.

        Args: as of `Arrivals.whole`.

        Raises:
            Refused: it is no packed model, a damaged one or not one to be trusted; or as `Arrivals.whole`.
        """
        try:
            _name(said, set())
        except AqaError as error:
            raise Refused(415, str(error)) from None
        async with self._arrivals.whole(said, length, pieces) as (part, _):
            return await asyncio.to_thread(self._keep, part, said)

    def _keep(self, part: Path, said: str) -> Model:
        if problem := packed_model(part).problem:
            raise Refused(422, problem.replace(str(part), _name(said, set())))
        with self._naming:
            taken = {path.name for path in self._folder.runs.iterdir()}
            if sum(name.lower().endswith(SUFFIX) for name in taken) >= (most := self._arrivals.limits.models):
                raise Refused(507, f"there are {most} packed models, and no more are taken")
            path = self._folder.runs / _name(said, taken)
            os.rename(part, path)
        found = self._models.of(path)
        if found is None:  # vanished meanwhile
            raise Refused(409, f"{path.name} is not there any more; upload it again")
        return found


def _name(said: str, taken: set[str]) -> str:
    return file_name(said, taken, (SUFFIX,), "packed model")
