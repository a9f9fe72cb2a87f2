"""The web server: its routes, what they share, and how it begins and ends."""

import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from aqa_cache.video.recognition import is_video

from . import api, site
from .annotations import Annotations
from .arrivals import LIMITS, Arrivals, Limits
from .checks import Address, Checked
from .context import Context
from .folder import Folder
from .jobs import PATIENCE, Queue
from .model_uploads import ModelUploads
from .models import Models
from .store import Store
from .videos import Videos


def application(
    runs: Path,
    folder: Path,
    address: Address,
    limits: Limits = LIMITS,
    patience: dict[str, float] = PATIENCE,
) -> ASGIApp:
    """The application, with its folder made and held; it is given back when the server ends.

    Args:
        runs: models: a folder of runs and packed models, a run, or a packed model.
        folder: in which everything is kept.
        address: where the server listens.

    Raises:
        AqaError: the folder cannot be used, or another server uses it.
    """
    places = Folder(folder)
    lock = places.lock()
    try:
        places.make()
        store = Store(places.database)
        annotations = Annotations(store, places)
        arrivals = Arrivals(places, limits)
        videos = Videos(store, places, arrivals)
        queue = Queue(store, places, patience)
        models = Models([runs, places.runs])
        uploads = ModelUploads(places, arrivals, models)
        context = Context(places, address, store, videos, annotations, queue, models, uploads, limits)
        _take_what_lies_there(context)
    except BaseException:
        lock.release()
        raise

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        queue.start()
        try:
            yield
        finally:
            queue.stop()
            store.close()
            lock.release()

    app = Starlette(
        routes=[*api.routes(), *site.routes()],
        lifespan=lifespan,
        exception_handlers={404: _unknown, 405: _unknown, 500: _failing},
    )
    app.state.context = context
    return Checked(app, address)


def _take_what_lies_there(context: Context) -> None:
    """Take over a table and the videos that lie in the folder before the app first starts there."""
    named = context.annotations.begin_with_table()
    known = context.annotations.videos()
    lying = [
        path.name for path in sorted(context.folder.videos.iterdir()) if path.is_file() and is_video(path)
    ]
    for file in dict.fromkeys((*named, *lying)):
        context.videos.list_file(file)
    # Also what was listed by a server that was killed before it came to the rest.
    under_way = context.queue.being_prepared()
    for video in context.videos.all():
        if video.state == "new" and video.id not in under_way:
            context.queue.add("prepare", {"video": video.id, "file": video.file})
    context.annotations.add_all(v.file for v in context.videos.all() if v.file not in known)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "there is nothing of this name"}, getattr(error, "status_code", 404))


async def _failing(request: Request, error: Exception) -> JSONResponse:
    print("".join(traceback.format_exception(error)), file=sys.stderr)
    return JSONResponse({"error": "this failed, and should not have; the terminal says why"}, 500)
