"""aqa-app in a process of its own, as a person starts it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HANGS = 300  # seconds: longer than anything takes on a busy machine, `wait=120` of a request included


class App:
    """A running server.

    Args:
        words: for `aqa-app`, beside the folder and the port.
    """

    def __init__(self, runs: Path, folder: Path, *words: str, port: int = 0):
        self.folder = folder
        given = [str(runs), "--folder", str(folder), "--port", str(port), *words]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aqa_cli.app.start", *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said, found = "", None
        while found is None and (line := self.process.stdout.readline()):
            self.said += line
            found = re.search(r"http://(\S+?):(\d+)/(?:login\?token=(\S+))?", line)
        assert found, self.said
        self.host, self.port, self.token = found[1], int(found[2]), found[3]
        self.url = f"http://{self.host}:{self.port}"

    def ask(self, method, path, body=None, **headers):
        """Status, headers and content of an answer; what is no bytes is sent as JSON."""
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS)
        try:
            # A name with a `_` for every hyphen, as in Sec_Fetch_Site.
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def json(self, method, path, body=None, **headers):
        status, _, content = self.ask(method, path, body, **headers)
        return status, json.loads(content) if content else None

    def idle(self, seconds: float = HANGS) -> None:
        """Wait until nothing is under way."""
        until = time.monotonic() + seconds
        while b"data-busy" in self.ask("GET", "/parts/queue")[2]:
            assert time.monotonic() < until, self.ask("GET", "/parts/queue")[2]
            time.sleep(0.1)

    def memory(self) -> int:
        """Bytes of it that are in memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) * 1024

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> str:
        """End it; what it printed after its address."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            rest, _ = self.process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return rest
