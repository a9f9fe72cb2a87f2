"""A small Hugging Face Hub on this machine: models are folders, each of one revision."""

import contextlib
import hashlib
import http.server
import json
import threading
from pathlib import Path


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what the Hub's client asks for when it takes a snapshot."""

    models: dict[str, tuple[str, Path]] = {}  # by repository: the commit, and the folder
    gated: set[str] = set()
    asked: list[str] = []

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        type(self).asked.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        api = parts[0] == "api"
        repository = "/".join(parts[2:4] if api else parts[:2])
        if repository not in self.models:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        commit, folder = self.models[repository]
        revision = parts[5] if api and len(parts) > 5 else "main" if api else parts[3]
        if revision not in ("main", commit):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if repository in self.gated and (not api or parts[4] == "tree"):
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        if api:
            return self._send(200, json.dumps(self._record(repository, commit, folder, parts)).encode())
        content = (folder / parts[4]).read_bytes()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        return self._send(200, content, headers, body)

    def _record(self, repository, commit, folder, parts):
        names = sorted(path.name for path in folder.iterdir())
        if len(parts) > 4 and parts[4] == "tree":
            sizes = {name: (folder / name).stat().st_size for name in names}
            return [
                {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(name.encode()).hexdigest()}
                for name, size in sizes.items()
            ]
        siblings = [{"rfilename": name} for name in names]
        return {"id": repository, "modelId": repository, "sha": commit, "siblings": siblings}

    def _send(self, status, content, headers=None, body=True):
        self.send_response(status)
        for name, value in ({"Content-Length": len(content)} | (headers or {})).items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content)


@contextlib.contextmanager
def hub_of(models, gated=()):
    """Serves models, `{repository: (commit, folder)}`, in the block; gives its address and what is asked."""
    handler = type("HubOf", (Hub,), {"models": models, "gated": set(gated), "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", handler.asked
        running.shutdown()
