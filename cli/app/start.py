"""aqa-app: a local page for people who do not use a terminal."""

import secrets
from pathlib import Path

import click

from aqa_cache.errors import AqaError, missing
from aqa_cli.command import command
from aqa_cli.errors import handle_errors
from aqa_cli.options import PathName
from aqa_cli.terminal import print_line, say


@command(
    epilog="""\b
Example:
  aqa-app runs/
  aqa-app model.zip --folder club
"""
)
@click.argument("runs", type=PathName())
@click.option(
    "--folder",
    type=PathName(),
    default=Path("aqa-app"),
    show_default=True,
    help="Where videos, annotations, scores and models trained here are kept.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; of another than this machine's own a token is asked for.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="Port; 0: any.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="Name by which others reach it.")
@click.option(
    "--token",
    envvar="AQA_APP_TOKEN",
    metavar="TEXT",
    help="Of at least 16 signs, in place of a drawn one; better in the variable AQA_APP_TOKEN.",
)
@click.option(
    "--max-upload",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    metavar="MIB",
    help="Largest video or model that is taken.",
)
@handle_errors
def main(runs: Path, folder: Path, host: str, port: int, names, token: str | None, max_upload: int) -> None:
    """Serve a page on this machine: drop videos, see what they score and what that is made of, type true
    scores and train on them.

    RUNS is a folder of runs and packed models, a run, or a model.zip. docs/app.md has the details; the same
    as JSON is described at /api/openapi.json. Ctrl-C ends it; what waits goes on at the next start.
    """
    try:
        import uvicorn

        from .arrivals import Limits
        from .checks import Address, is_local
        from .connections import MOST, Connection
        from .server import application
    except ImportError as error:
        if (error.name or "").startswith("aqa_"):
            raise
        raise missing(error.name or "starlette", "aqa-app", error, "'aqa-cache[app]'") from None

    if not runs.exists():
        raise AqaError(f"{runs}: is not there; name a folder of runs, a run, or a model.zip")
    if token is not None and len(token) < 16:
        raise AqaError(
            f"the token has {len(token)} signs, expected at least 16; leave it out to have one drawn"
        )
    if token is None and not is_local(host):
        token = secrets.token_urlsafe(24)
    sock = _bound(host, port)
    port = sock.getsockname()[1]
    address = Address(host, port, token or "", tuple(name.lower() for name in names))
    app = application(runs, folder, address, Limits(bytes=max_upload * 2**20))
    shown = f"[{host}]" if ":" in host else host
    print_line(f"Open http://{shown}:{port}/{f'login?token={token}' if token else ''} in a browser.")
    if token:
        say("Others on the network reach this page, and what they send is not encrypted.")
    say(f"Everything is kept in {folder.absolute()}. Ctrl-C ends it.")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="critical",  # what fails is printed by the application
            access_log=False,
            ws="none",
            limit_concurrency=MOST,
            http=Connection,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
            server_header=False,
        )
    )
    try:
        server.run(sockets=[sock])
    except KeyboardInterrupt:
        pass
    finally:
        sock.close()


def _bound(host: str, port: int):
    """A socket that listens there.

    Raises:
        AqaError: it cannot.
    """
    import socket

    try:
        family, kind, number, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, number)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(128)  # who comes before the server is ready waits
    except OSError as error:
        raise AqaError(
            f"{host}:{port}: cannot be listened on ({error.strerror}); give another --port"
        ) from None
    return sock


if __name__ == "__main__":
    main()
