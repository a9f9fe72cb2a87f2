"""A file server on this machine."""

import contextlib
import functools
import http.server
import threading


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files; may hold back their size, or say another."""

    size_known, declared = True, None

    def log_message(self, *_):
        pass

    def send_header(self, name, value):
        if name == "Content-Length":
            if not self.size_known:
                return
            value = self.declared or value
        super().send_header(name, str(value))


@contextlib.contextmanager
def serving(folder):
    """Serves the folder in the block; gives its address."""
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
