"""What every request is held against before anything is done: where it is meant for, where it comes from, and
on an address that others reach, the token.
"""

import hmac
import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "aqa_app"
# Nothing of another origin is fetched, run, framed or sent to.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Address:
    """Where the server listens, and by which names it may be called.

    Args:
        token: that a request must bring; empty: none.
        names: of the host, beside this machine's own.
    """

    host: str
    port: int
    token: str = ""
    names: Collection[str] = ()

    def is_mine(self, host: str) -> bool:
        """Whether a Host header names this server: a page that had its own name point here does not.

        >>> here = Address("127.0.0.1", 8321)
        >>> [here.is_mine(h) for h in ("127.0.0.1:8321", "localhost:8321", "evil.example:8321", "127.0.0.1")]
        [True, True, False, False]
        """
        try:
            parts = urlsplit(f"//{host}")
            name, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if parts.netloc != host or parts.username is not None or (80 if port is None else port) != self.port:
            return False
        if is_local(self.host):
            return name in ("127.0.0.1", "localhost", "::1", self.host.lower())
        return _is_number(name) or name in {"localhost", socket.gethostname().lower(), *self.names}

    def is_token(self, given: str) -> bool:
        """Whether a text is the server's token, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_number(name: str) -> bool:
    """An IP address: no page of elsewhere has one as its name and this server behind it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Checked:
    """The application behind the checks.

    Args:
        address: of the server.
    """

    def __init__(self, app: ASGIApp, address: Address):
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no web sockets
        refusal = self._refusal(scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refusal or self._app)(scope, receive, sending)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._address.is_mine(host):
            return _said(
                421, f"this server is not {host!r:.100}; start aqa-app with --name for further names"
            )
        if scope["method"] not in ("GET", "HEAD") and not _from_here(headers, host):
            return _said(403, "this request comes from another page, which may not act here")
        if self._address.token and not self._has_token(scope, headers):
            if scope["method"] == "GET" and not scope["path"].startswith("/api/"):
                return RedirectResponse("/login", 303)
            return _said(401, "the token is missing or wrong; aqa-app printed it at its start")
        return None

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        if scope["path"] == "/login" or scope["path"].startswith("/static/"):
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._address.is_token(given):
            return True
        cookies = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return any(name == COOKIE and self._address.is_token(value) for name, _, value in cookies)


def _from_here(headers: Headers, host: str) -> bool:
    """Whether a request that changes something comes from a page of this server, or from no page."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _said(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
