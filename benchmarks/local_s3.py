"""A local S3 for tests and benchmarks: moto's server, and a proxy before it that lets requests fail."""

import contextlib
import http.client
import http.server
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
_PASSED_ON = {"connection", "transfer-encoding", "content-length", "date", "server"}
Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and content."""


def xml_answer(status: int, code: str, message: str) -> Answer:
    content = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, [("Content-Type", "application/xml")], content.encode()


S3_ANSWERS = {
    "500": xml_answer(500, "InternalError", "We encountered an internal error. Please try again."),
    "503": xml_answer(503, "SlowDown", "Please reduce your request rate."),
    "expired": xml_answer(400, "ExpiredToken", "The provided token has expired."),
    "skewed": xml_answer(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the time is too large.",
    ),
    "denied": xml_answer(403, "AccessDenied", "Access Denied"),
}


@contextlib.contextmanager
def serving(bucket: str = "aqa") -> Iterator[str]:
    """A server with an empty bucket in the block; gives its address. Large files lie on disk."""
    (port,) = free_ports(1)
    environment = {**os.environ, "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": "65536"}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        await_server(port, server)
        request(port, "PUT", f"/{bucket}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@dataclass
class Faults:
    """What the proxy does to the next requests.

    Args:
        share: of them fail, every `1 / share`-th, in the ways of `kinds` in turn: `500`, `503`, `slow` (by
            `seconds`), `drop` (the connection, in the middle of an upload), `cut` (an upload ends early),
            and what `answers` has.
        lag: seconds for which a listing lacks what was put.
        only: which requests: `GET`, `PUT`, …; empty: all.
        answers: of the store, by kind; uploads: how it is asked to take a file.
    """

    kinds: tuple[str, ...] = ()
    share: float = 0.0
    seconds: float = 2.0
    lag: float = 0.0
    only: tuple[str, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=lambda: S3_ANSWERS)
    uploads: tuple[str, ...] = ("PUT",)
    injected: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    _debt: float = 0.0
    _put: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, method: str) -> str:
        with self._lock:
            self.requests += 1
            if not self.kinds or (self.only and method not in self.only):
                return ""
            self._debt += self.share
            if self._debt < 1:
                return ""
            self._debt -= 1
            kind = self.kinds[sum(self.injected.values()) % len(self.kinds)]
            if kind in ("drop", "cut") and method not in self.uploads:
                self._debt += 1  # the next upload
                return ""
            self.injected[kind] = self.injected.get(kind, 0) + 1
            return kind

    def put(self, path: str) -> None:
        self._put[path.split("?")[0].split("/", 2)[-1]] = time.monotonic()

    def listed(self, body: bytes) -> bytes:
        """A listing without what was put a moment ago."""
        if not self.lag:
            return body
        late = {key for key, when in self._put.items() if time.monotonic() - when < self.lag}

        def left(found: re.Match) -> str:
            key = re.search("<Key>(.*?)</Key>", found[0], re.S)
            return "" if key and key[1] in late else found[0]

        return re.sub("<Contents>.*?</Contents>", left, body.decode(), flags=re.S).encode()


@contextlib.contextmanager
def faulty(address: str, faults: Faults) -> Iterator[str]:
    """A proxy before a server, in the block; gives its address."""
    target = address.removeprefix("http://")

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def handle_one_request(self):
            with contextlib.suppress(ConnectionError, TimeoutError):
                super().handle_one_request()

        def _serve(self):
            kind = faults.next(self.command)
            length = int(self.headers.get("Content-Length") or 0)
            if kind == "drop":
                self.rfile.read(length // 2)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            body = _body(self.rfile, self.headers, length)
            if kind in faults.answers:
                self._answer(*faults.answers[kind])
                return
            if kind == "slow":
                time.sleep(faults.seconds)
            if kind == "cut":  # the server gets less than was announced, and the client no answer
                _upload_in_part(target, self, body)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            upstream = http.client.HTTPConnection(target, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            headers.pop("Expect", None)
            if "Transfer-Encoding" in headers:
                del headers["Transfer-Encoding"]
                headers["Content-Length"] = str(len(body))
            upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            content = response.read()
            if self.command == "PUT" and response.status == 200:
                faults.put(self.path)
            if self.command == "GET" and "list-type=2" in self.path:
                content = faults.listed(content)
            kept = [(n, v) for n, v in response.getheaders() if n.lower() not in _PASSED_ON]
            length = response.headers.get("Content-Length") if self.command == "HEAD" else None
            self._answer(response.status, kept, content, length)
            upstream.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

        def _answer(self, status, headers, content, length=None):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    with _Server(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Connections that were dropped are meant."""


def _body(file, headers, length: int) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return file.read(length)
    content = b""
    while size := int(file.readline().split(b";")[0], 16):
        content += file.read(size)
        file.readline()
    file.readline()
    return content


def _upload_in_part(target: str, request, body: bytes) -> None:
    host, port = target.split(":")
    lines = [f"{request.command} {request.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:-1])


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, for servers that begin later: none of those that the system gives out, as it
    would give them to the next who connects to anything.
    """
    found = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100 + count):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("no port is free on this machine")


def await_server(port: int, server: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until it answers anything."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            request(port, "GET", "/")
            return
        time.sleep(0.2)
    raise SystemExit(f"{server.args} did not start; is it installed?")


def request(port: int, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    connection.getresponse().read()
    connection.close()
