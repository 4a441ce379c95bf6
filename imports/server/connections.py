"""The open connections of a web process and the request bodies that it stores, by address."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from imports.client_addresses import get_counted_address
from imports.conf import app_settings


class Connection(Protocol):
    """What the registry needs of a connection."""

    def get_waiting_since(self) -> float | None:
        """Return since when it waits for a complete head; None if it has a request."""

    def abort(self) -> None:
        """Close it at once."""

    def check_time(self, now: float) -> None:
        """Close it if its client is too slow. `now` is a time of `time.monotonic`."""

    async def wait_until_writable(self) -> None:
        """Wait until the client has read, if too much waits to be sent."""

    def stop_waiting(self) -> None:
        """End every `wait_until_writable`, because nothing can be sent any more."""


class Body(Protocol):
    """What `Connections` needs of a request body that the process stores."""

    stored_bytes: int

    @property
    def connection(self) -> Connection:
        """The connection that receives the body."""

    def is_incomplete(self) -> bool:
        """Return whether the process still receives the body."""

    def refuse_without_space(self) -> None:
        """Delete the stored bytes, and respond that there is no space."""


class Connections:
    """The connections of a process, by their transport, and the request bodies that are stored."""

    def __init__(self) -> None:
        self.by_transport: dict[object, Connection] = {}
        self.counts: Counter[str] = Counter()
        self.addresses: dict[Connection, str] = {}
        self.bodies: set[Body] = set()
        self.stored_bytes = 0  # Of all bodies.

    def add(self, transport: object, connection: Connection) -> bool:
        """Add a connection. Return False if there are too many that cannot be closed for it."""
        if len(self.by_transport) >= app_settings.SERVER_MAX_CONNECTIONS and not self.evict():
            return False
        self.by_transport[transport] = connection
        return True

    def remove(self, transport: object) -> None:
        """Remove a connection, also one that was not added or is removed already."""
        connection = self.by_transport.pop(transport, None)
        if connection is not None:
            self.release_address(connection)
            connection.stop_waiting()

    def evict(self) -> bool:
        """Close the connection that has waited longest for a request. Return if there was one."""
        waiting = [
            (since, transport)
            for transport, connection in self.by_transport.items()
            if (since := connection.get_waiting_since()) is not None
        ]
        if not waiting:
            return False
        _, transport = min(waiting, key=lambda pair: pair[0])
        connection = self.by_transport[transport]
        self.remove(transport)
        connection.abort()
        return True

    def claim_address(self, connection: Connection, address: str) -> bool:
        """Count a connection for the address of its client, in place of an earlier address.

        Return False, without counting it, if the address has too many.
        """
        self.release_address(connection)
        counted = get_counted_address(address)
        if self.counts[counted] >= app_settings.SERVER_MAX_CONNECTIONS_PER_ADDRESS:
            return False
        self.counts[counted] += 1
        self.addresses[connection] = counted
        return True

    def release_address(self, connection: Connection) -> None:
        counted = self.addresses.pop(connection, None)
        if counted is None:
            return
        self.counts[counted] -= 1
        if not self.counts[counted]:
            del self.counts[counted]

    def count_stored_bytes(self, body: Body, size: int) -> None:
        """Count `size` more stored bytes of a body."""
        self.bodies.add(body)
        body.stored_bytes += size
        self.stored_bytes += size

    def remove_body(self, body: Body) -> None:
        """Stop counting a body, because it is deleted. May be called again for the same body."""
        self.bodies.discard(body)
        self.stored_bytes -= body.stored_bytes
        body.stored_bytes = 0

    def find_body_to_refuse(self) -> Body | None:
        """Return the largest incomplete body of the address whose bodies take most space.

        Returns None if all bodies are complete. Without this choice, one client could fill the
        space and keep out all others.
        """
        stored = Counter[str | None]()
        for body in self.bodies:
            stored[self.addresses.get(body.connection)] += body.stored_bytes
        return max(
            (body for body in self.bodies if body.is_incomplete()),
            key=lambda body: (stored[self.addresses.get(body.connection)], body.stored_bytes),
            default=None,
        )
