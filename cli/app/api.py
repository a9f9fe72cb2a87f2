"""The same as the pages, as JSON; `openapi` describes it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aqa_cache.annotations import FILE_NAME
from aqa_cache.errors import AqaError
from aqa_heads.scoring.writing import JSON_FILE

from .annotations import Conflict, NotInTable, Row
from .context import Context
from .folder import is_id
from .jobs import DONE, FAILED, Job
from .models import S3D, Model
from .openapi import document
from .refused import Refused
from .row_values import check_changes

_LARGEST_JSON = 2**20
LONGEST_WAIT = 300
_LOOK_AGAIN = 0.25  # seconds
LONGEST_REQUEST = 30.0  # seconds that JSON may take to come


def answering(endpoint: Callable[[Request, Context], Awaitable[Response]]) -> Callable:
    """The endpoint, whose mistakes are one message each."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request, request.app.state.context)
        except Conflict as error:
            return JSONResponse({"error": str(error), "row": error.row.record()}, 409)
        except NotInTable as error:
            return JSONResponse({"error": str(error), "row": error.row.record()}, 507)
        except Refused as error:
            return JSONResponse({"error": str(error)}, error.status, headers={"connection": "close"})
        except AqaError as error:
            return JSONResponse({"error": str(error)}, 422)
        except ClientDisconnect:
            return Response(status_code=499)

    return answered


def routes() -> list[Route]:
    named = {
        "/api/openapi.json": {"GET": openapi},
        "/api/score": {"POST": score},
        "/api/videos": {"POST": upload},
        "/api/videos/{id}/rows": {"POST": add_row},
        "/api/rows": {"GET": rows},
        "/api/rows/{id}": {"GET": row, "PATCH": change_row},
        "/api/rows/{id}/undo": {"POST": undo_row},
        "/api/rows/{id}/remove": {"POST": remove_row},
        "/api/rows/{id}/put-back": {"POST": put_row_back},
        "/api/rows/{id}/score": {"POST": score_row},
        "/api/jobs/{id}": {"GET": job, "DELETE": cancel},
        "/api/models": {"GET": models, "POST": add_model},
        "/api/learn": {"POST": learn},
        "/annotations.csv": {"GET": table},
    }
    return [
        Route(path, answering(endpoint), methods=[method])
        for path, methods in named.items()
        for method, endpoint in methods.items()
    ]


async def openapi(request: Request, context: Context) -> Response:
    return JSONResponse(document())


async def score(request: Request, context: Context) -> Response:
    """A video in the body, scored as a whole or in a part; or one that is there already."""
    asked = request.query_params
    model = await _model(context, asked.get("model"))
    wait = _whole(asked.get("wait", "0"), "wait", LONGEST_WAIT)
    changes = {name: _whole(asked[name], name) for name in ("start_frame", "end_frame") if name in asked}
    if "difficulty" in asked:
        changes["difficulty"] = _decimal(asked["difficulty"], "difficulty")
    check_changes(changes)  # before the video is taken
    row = await _upload(request, context)
    if changes:
        row = await run_in_threadpool(context.annotations.change, row.id, row.version, changes)
    made = await run_in_threadpool(context.score, model, row)
    found = await _ended(context, made.id, wait) if wait else made
    return await _told(context, found or made)


async def upload(request: Request, context: Context) -> Response:
    row = await _upload(request, context)
    return JSONResponse(row.record(), 201)


async def add_row(request: Request, context: Context) -> Response:
    """A further action in a video."""
    video = await run_in_threadpool(context.videos.get, _id(request))
    if video is None:
        raise Refused(404, "there is no such video")
    made = await run_in_threadpool(context.annotations.add, video.file)
    return JSONResponse(made.record(), 201)


async def rows(request: Request, context: Context) -> Response:
    found = await run_in_threadpool(context.annotations.rows)
    return JSONResponse({"rows": [one.record() for one in found]})


async def row(request: Request, context: Context) -> Response:
    return JSONResponse((await _row(request, context)).record())


async def change_row(request: Request, context: Context) -> Response:
    asked = await _json(request, {"version": int, "changes": dict, "who": str})
    who = asked.get("who", "")
    found = await run_in_threadpool(
        context.annotations.change, _id(request), asked["version"], asked["changes"], who
    )
    return JSONResponse(found.record())


async def undo_row(request: Request, context: Context) -> Response:
    asked = await _json(request, {"version": int, "who": str})
    found = await run_in_threadpool(
        context.annotations.undo, _id(request), asked["version"], asked.get("who", "")
    )
    return JSONResponse(found.record())


async def remove_row(request: Request, context: Context) -> Response:
    asked = await _json(request, {"version": int})
    found = await run_in_threadpool(context.annotations.remove, _id(request), asked["version"])
    return JSONResponse(found.record())


async def put_row_back(request: Request, context: Context) -> Response:
    found = await run_in_threadpool(context.annotations.put_back, _id(request))
    return JSONResponse(found.record())


async def score_row(request: Request, context: Context) -> Response:
    asked = await _json(request, {"model": str})
    model, found = await _model(context, asked["model"]), await _row(request, context)
    return await _told(context, await run_in_threadpool(context.score, model, found))


async def job(request: Request, context: Context) -> Response:
    wait = _whole(request.query_params.get("wait", "0"), "wait", LONGEST_WAIT)
    found = await _ended(context, _id(request), wait)
    if found is None:
        raise Refused(404, "there is no such job")
    return await _told(context, found, 200)


async def cancel(request: Request, context: Context) -> Response:
    await run_in_threadpool(context.queue.cancel, _id(request))
    return Response(status_code=204)


async def models(request: Request, context: Context) -> Response:
    found = await run_in_threadpool(context.models.all)
    return JSONResponse({"models": [_model_record(one) for one in found]})


async def add_model(request: Request, context: Context) -> Response:
    """A packed model in the body."""
    made = await context.model_uploads.take(*_said(request), request.stream())
    return JSONResponse(_model_record(made), 201)


async def learn(request: Request, context: Context) -> Response:
    asked = await _json(request, {"model": str})
    model = None if asked["model"] == S3D else await _model(context, asked["model"])
    made = await run_in_threadpool(context.learn, model)
    return await _told(context, made)


async def table(request: Request, context: Context) -> Response:
    content = await run_in_threadpool((context.folder.videos / FILE_NAME).read_bytes)
    return Response(
        content,
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{FILE_NAME}"'},
    )


async def _upload(request: Request, context: Context) -> Row:
    video = await context.videos.take(*_said(request), request.stream())
    return await run_in_threadpool(context.taken, video)


def _said(request: Request) -> tuple[str, int | None]:
    """The name of an upload, and the bytes that it says to have."""
    length = request.headers.get("content-length", "")
    known = length.isascii() and length.isdigit()
    return request.query_params.get("name", ""), int(length) if known else None


async def _row(request: Request, context: Context) -> Row:
    found = await run_in_threadpool(context.annotations.row, _id(request))
    if found is None:
        raise Refused(404, "there is no such row")
    return found


async def _model(context: Context, id: str | None) -> Model:
    """The model of this number, or the only one.

    Raises:
        Refused: there is none, or there are several and none is named.
    """
    found = await run_in_threadpool(context.models.usable)
    named = [one for one in found if one.id == id] if id else found
    if len(named) == 1:
        return named[0]
    known = ", ".join(f"{one.id} ({one.label})" for one in found[:20]) or "none"
    raise Refused(422, f"model is {id!r:.60}, expected the id of a model; there are: {known}")


async def _ended(context: Context, id: str, seconds: int) -> Job | None:
    """The job when it has ended, or after so many seconds; no thread waits, as there are only forty."""
    until = time.monotonic() + seconds
    while True:
        job = await run_in_threadpool(context.queue.job, id)
        if job is None or job.over or time.monotonic() >= until:
            return job
        await asyncio.sleep(_LOOK_AGAIN)


async def _told(context: Context, job: Job, status: int = 202) -> Response:
    record = await run_in_threadpool(job_record, context, job)
    return JSONResponse(record, 200 if job.over else status)


def job_record(context: Context, job: Job) -> dict:
    """A job as JSON, with the score where it is one and done."""
    record = {"id": job.id, "kind": job.kind, "state": job.state, "place": job.place}
    if job.place == 0:
        progress = context.queue.progress
        record |= {"said": progress.said, "share": progress.share}
    if job.state == FAILED:
        record["error"] = job.reason
    elif job.reason:
        record["note"] = job.reason
    if job.kind == "score" and job.state == DONE:
        record |= {"page": f"/scores/{job.id}/", "score": read_score(context.folder.scores / job.id)}
    return record


def read_score(place: Path) -> dict | None:
    """The score of `scores.json`, with what is said of all."""
    try:
        content = json.loads((place / JSON_FILE).read_text(encoding="utf-8"))
        return {**content["scores"][0], "all_notes": content.get("notes", [])}
    except (OSError, ValueError, LookupError):
        return None


def _model_record(model: Model) -> dict:
    return {
        "id": model.id,
        "label": model.label,
        "spearman": None if model.rho is None else model.rho[0],
        "tested": model.tested,
        "floors": dict(model.floors),
        "interval_half_width": model.within,
        "interval_note": model.interval_note,
        "needs_difficulty": model.needs_difficulty,
        "notes": list(model.notes),
        "problem": model.problem,
    }


def _id(request: Request) -> str:
    id = request.path_params["id"]
    if not is_id(id):
        raise Refused(404, "there is nothing of this name")
    return id


async def body(request: Request, most: int) -> bytes:
    """What a request brings, of bounded length and in a bounded time.

    Raises:
        Refused: it is too large, or comes too slowly.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(LONGEST_REQUEST):
            async for piece in request.stream():
                content += piece
                if len(content) > most:
                    raise Refused(413, f"the request has more than {most:,} bytes")
    except TimeoutError:
        raise Refused(408, "the request came too slowly; send it again") from None
    return bytes(content)


async def _json(request: Request, kinds: Mapping[str, type]) -> dict:
    """The JSON of a request: an object with these names, the first of which is needed.

    Raises:
        Refused: it is too large, or none.
    """
    content = await body(request, _LARGEST_JSON)
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(400, "the request is no JSON") from None
    needed = [name for name in kinds if name != "who"]
    if not isinstance(asked, dict) or not all(isinstance(asked.get(name), kinds[name]) for name in needed):
        raise Refused(422, f"expected an object with {', '.join(needed)}")
    if "who" in asked and not isinstance(asked["who"], str):
        raise Refused(422, "who is to be a name")
    return asked


def _whole(text: str, name: str, most: int = 10**9) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise Refused(422, f"{name} is {text!r:.60}, expected a whole number up to {most:,}")
    return int(text)


def _decimal(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(422, f"{name} is {text!r:.60}, expected a number") from None
