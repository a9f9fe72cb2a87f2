"""The pages and the files that they show; nothing else of the disk has an address."""

import re
from importlib.resources import files
from mimetypes import guess_type
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from aqa_heads.report.html import style

from .api import answering, body
from .checks import COOKIE
from .context import Context
from .folder import is_id
from .pages.clip import clip
from .pages.clips import clips
from .pages.frame import page
from .pages.home import home
from .pages.login import login
from .pages.model import model_page, models_page
from .pages.score import score_page
from .pages.training import training
from .pages.work import PARTS
from .refused import Refused
from .scoring import score_files

_SCRIPTS = "home", "clip", "clips", "train", "models", "wait", "requests", "parts", "uploads"
_STATIC = {f"{name}.js" for name in _SCRIPTS}
_PREVIEW = re.compile(r"([0-9a-f]{16})\.(mp4|json)")
# A page of a score, and files of it, run no script but their own, and reach nothing.
_OF_SCORE = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:;"
    " media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_LARGEST_FORM = 10_000


def routes() -> list[Route]:
    pages = {
        "/": lambda request, context: home(context),
        "/clips": lambda request, context: clips(context),
        "/clips/{id}": _clip,
        "/train": lambda request, context: training(context),
        "/models": lambda request, context: models_page(context),
        "/models/{id}": _model,
        "/parts/{name}": _part,
    }
    return [
        *(Route(path, answering(_html(made)), methods=["GET"]) for path, made in pages.items()),
        Route("/login", answering(_login), methods=["GET", "POST"]),
        Route("/static/{name}", answering(_static), methods=["GET"]),
        Route("/previews/{name}", answering(_preview), methods=["GET"]),
        Route("/videos/{file:path}", answering(_video), methods=["GET"]),
        Route("/scores/{id}/", answering(_score), methods=["GET"]),
        Route("/scores/{id}/{name}", answering(_score_file), methods=["GET"]),
    ]


def _html(made):
    """A page is made in a thread, as it reads files."""

    async def endpoint(request: Request, context: Context) -> Response:
        try:
            return HTMLResponse(await run_in_threadpool(made, request, context))
        except Refused as error:
            return HTMLResponse(page("Not here", "/", str(error)), error.status)

    return endpoint


def _clip(request: Request, context: Context) -> str:
    id = request.path_params["id"]
    row = context.annotations.row(id) if is_id(id) else None
    if row is None:
        raise Refused(404, "There is no such clip.")
    return clip(context, row)


def _model(request: Request, context: Context) -> str:
    model = context.models.get(request.path_params["id"])
    if model is None:
        raise Refused(404, "There is no such model.")
    return model_page(context, model)


def _part(request: Request, context: Context) -> str:
    made = PARTS.get(request.path_params["name"])
    if made is None:
        raise Refused(404, "There is no such part.")
    return made(context)


async def _login(request: Request, context: Context) -> Response:
    address = context.address
    given = request.query_params.get("token", "")
    if request.method == "POST":
        content = await body(request, _LARGEST_FORM)
        given = parse_qs(content.decode("utf-8", "replace")).get("token", [""])[0]
    if not address.token:
        return RedirectResponse("/", 303)
    if given and address.is_token(given):
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, given.strip(), httponly=True, samesite="strict", max_age=30 * 86400)
        return answer
    return HTMLResponse(login(wrong=bool(given)), 403 if given else 200)


async def _static(request: Request, context: Context) -> Response:
    name, place = request.path_params["name"], files("aqa_cli.app") / "static"
    kept = {"cache-control": "no-cache"}
    if name == "style.css":
        text = style((place / name).read_text(encoding="utf-8"))
        return Response(text, media_type="text/css; charset=utf-8", headers=kept)
    if name not in _STATIC:
        raise Refused(404, "there is no such file")
    text = (place / name).read_text(encoding="utf-8")
    return Response(text, media_type="text/javascript; charset=utf-8", headers=kept)


async def _preview(request: Request, context: Context) -> Response:
    found = _PREVIEW.fullmatch(request.path_params["name"])
    path = None if found is None else context.folder.previews / found[0]
    if found is None or path is None or not path.is_file():
        raise Refused(404, "there is no such preview")
    return FileResponse(path, media_type="video/mp4" if found[2] == "mp4" else "application/json")


async def _video(request: Request, context: Context) -> Response:
    """The video itself, for the page of its score, which has it beside itself."""
    video = await run_in_threadpool(context.videos.by_file, request.path_params["file"])
    path = None if video is None else context.videos.path(video)
    if path is None or path.is_symlink() or not path.is_file():
        raise Refused(404, "there is no such video")
    kind = guess_type(path.name)[0] or ""
    return FileResponse(path, media_type=kind if kind.startswith("video/") else "application/octet-stream")


async def _score(request: Request, context: Context) -> Response:
    id = request.path_params["id"]
    job = await run_in_threadpool(context.queue.job, id) if is_id(id) else None
    if job is None or job.kind != "score":
        raise Refused(404, "there is no such score")
    text, own_policy = await run_in_threadpool(score_page, context, job)
    return HTMLResponse(text, headers={"content-security-policy": _OF_SCORE} if own_policy else None)


async def _score_file(request: Request, context: Context) -> Response:
    id, name = request.path_params["id"], request.path_params["name"]
    path = score_files(context.folder, id).get(name) if is_id(id) else None
    if path is None:
        raise Refused(404, "there is no such file")
    return FileResponse(path, headers={"content-security-policy": _OF_SCORE})
