"""Connections over which nothing comes: they end by themselves, and keep nobody out."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_SECONDS = 10.0  # for the whole head of a request
MOST_IDLE = 100  # connections over which no request is under way
MOST = 200  # connections in all; beyond it a request is answered with 503


class Connection(H11Protocol):
    """One whose next request must have come with all its headers in a bounded time.

    Where more than `MOST_IDLE` are open without a request, the one that has waited longest is closed.
    """

    _due: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore
        super().connection_made(transport)
        self._wait()
        idle = [one for one in self.connections if isinstance(one, Connection) and one.idle]
        if len(idle) > MOST_IDLE:
            oldest = min(idle, key=lambda one: one._since)
            self.connections.discard(oldest)  # at once: further ones may be made before it is told
            oldest.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.idle:
            self._stop_waiting()
        elif self._due is None:  # the first bytes of a further request: the time runs from here
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def _wait(self) -> None:
        self._since = self.loop.time()
        self._due = self.loop.call_later(HEADERS_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
