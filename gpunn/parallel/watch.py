"""Who is still there: ranks that die or hang are found, named, and the others end.

MPI says nothing of a rank that is gone: the others would wait in their next sum for ever. So each rank has a thread
with a connection to rank 0, by which it says every second what it does. Where a connection breaks, its rank has died:
the system closes it with the process. Where a rank says nothing, or others wait for it in work that all do together,
for longer than `timeout` seconds, it hangs. Rank 0 tells all others, and each says so and ends, with exit code `LOST`.
Nothing that is being written is lost: files are written beside their places and moved there (`gpunn.io.atomic_path`).
"""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

LOST = 75
"""Exit code where a rank was lost, so that it is worth to begin again from the last checkpoint: EX_TEMPFAIL of BSD's
sysexits.h."""
FAILED = 1
"""Exit code where a rank has failed with an error, which would come again."""
BEAT = 1.0
"""Seconds between two signs of life."""
GRACE = 5.0
"""Seconds that a rank may be waited for that has ended its work."""
CONNECT = 30.0
"""Seconds in which all ranks have to be connected."""
HELLO = 5.0
"""Seconds in which one that has connected has to say who it is: a stranger may be silent."""


class Peer:
    """What rank 0 knows of a rank.

    Attributes:
        name: how it is called in messages.
        count: how many things it has begun that all ranks do together.
        where: the last of them.
        waiting: whether it is in that.
        since: when that was first so.
        seen: when it last said something.
        ended: whether it has said that it ends.
    """

    def __init__(self, name: str, now: float):
        self.name = name
        self.count, self.where, self.waiting, self.ended = 0, "the start", False, False
        self.since = self.seen = now

    def says(self, now: float, count: int, where: str, waiting: bool) -> None:
        """Take in a sign of life."""
        if (count, waiting) != (self.count, self.waiting):
            self.count, self.where, self.waiting, self.since = count, where, waiting, now
        self.seen = now


def verdict(peers: dict[int, Peer], now: float, timeout: float) -> str:
    """Which rank hangs, in words; empty if none does."""
    for peer in peers.values():
        if not peer.ended and now - peer.seen > timeout:
            return f"{peer.name} hangs: it has said nothing for {now - peer.seen:.0f} seconds"
    waiting = [p for p in peers.values() if p.waiting]
    if not waiting:
        return ""
    furthest = max(waiting, key=lambda p: p.count)
    waited = now - furthest.since
    late = [p for p in peers.values() if p.count < furthest.count]
    if late and waited > (GRACE if all(p.ended for p in late) else timeout):
        names = " and ".join(p.name for p in late)
        what = "has ended" if all(p.ended for p in late) else "hangs"
        return f"{names} {what}: the others have waited in {furthest.where} for {waited:.0f} seconds"
    if not late and len(waiting) == len(peers) and all(now - p.since > timeout for p in waiting):
        return (
            f"all ranks have waited in {furthest.where} for {waited:.0f} seconds: is the network between them broken?"
        )
    return ""


class Watch:
    """One rank's part in it.

    Args:
        rank: this rank.
        size: how many there are.
        share: a function that gives all ranks the value that rank 0 has.
        timeout: seconds after which a rank counts as hanging.

    Attributes:
        last_words: called with the message before this process ends because of another rank; what it returns, such as
            how to go on, is the end of the message.
    """

    def __init__(self, rank: int, size: int, share: Callable[[Any], Any], timeout: float):
        self.rank, self.size, self.timeout = rank, size, timeout
        self.last_words: Callable[[str], str] = lambda text: ""
        self._count, self._where, self._waiting = 0, "the start", False
        self._leaving = self._failed = False
        self._peers: dict[int, Peer] = {}
        self._sockets: dict[int, socket.socket] = {}
        self._buffers: dict[int, bytes] = {}
        name = f"rank {rank} on {socket.gethostname()} (process {os.getpid()})"
        if rank == 0:
            self._accept(name, share)
        else:
            self._connect(name, share(None))
        self._thread = threading.Thread(target=self._run, name="gpunn watch", daemon=True)
        self._thread.start()

    @contextmanager
    def doing(self, where: str) -> Iterator[None]:
        """Inside, all ranks do something together."""
        self.begin(where)
        try:
            yield
        finally:
            self._waiting = False

    def begin(self, where: str) -> None:
        """All ranks do something together from here on, until `end`."""
        self._count += 1
        self._where, self._waiting = where, True

    def end(self) -> None:
        """It is done."""
        self._waiting = False

    def fail(self, text: str) -> None:
        """Tell all others that this rank has failed, so that they end too."""
        if not self._leaving:
            self._leaving = self._failed = True
            text = f"rank {self.rank} has failed: {text}"
            if self.rank == 0:
                self._tell_all({"lost": text, "code": FAILED})
            else:
                self._send(0, {"failed": text})
                self._thread.join(2 * BEAT)  # until rank 0 has heard it

    def leave(self) -> None:
        """Say that this rank ends as it should, and wait until all do."""
        if self._leaving:
            return
        self.begin("the end of the program")
        self._leaving = True
        if self.rank:
            self._send(0, {"bye": self._count})
            self._thread.join()  # until rank 0 has said it
            if not self._peers[0].ended:
                os._exit(LOST)
        else:
            while not all(p.ended for r, p in self._peers.items() if r):
                time.sleep(0.01)
            self._tell_all({"bye": self._count})

    # Connections ------------------------------------------------------------------------------------------------------

    def _accept(self, name: str, share: Callable[[Any], Any]) -> None:
        server = socket.create_server(("", 0), backlog=self.size)
        token = secrets.token_hex(16)
        share((_addresses(), server.getsockname()[1], token, socket.gethostname(), name))
        server.settimeout(CONNECT)
        self._peers[0] = Peer(name, time.monotonic())
        while len(self._sockets) < self.size - 1:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = sorted(set(range(1, self.size)) - set(self._sockets))
                raise RuntimeError(f"ranks {missing} did not connect to rank 0 within {CONNECT:.0f} seconds") from None
            try:
                connection.settimeout(HELLO)
                hello = json.loads(_line(connection))
            except (OSError, ValueError, RecursionError):
                connection.close()
                continue
            if isinstance(hello, dict) and hello.get("token") == token:  # else a stranger
                rank = int(hello["rank"])
                self._sockets[rank], self._peers[rank] = connection, Peer(str(hello["name"]), time.monotonic())
        server.close()

    def _connect(self, name: str, shared: tuple[list[str], int, str, str, str]) -> None:
        addresses, port, token, host, first = shared
        if host == socket.gethostname():
            addresses = ["127.0.0.1"]
        for address in addresses:
            with suppress(OSError):
                connection = socket.create_connection((address, port), CONNECT / len(addresses))
                break
        else:
            raise RuntimeError(
                f"rank {self.rank} can't reach rank 0 on {host} by TCP at {' or '.join(addresses)}, port {port}, which "
                "it has to, so that ranks that die are found: is there a firewall between them?"
            )
        self._sockets[0], self._peers[0] = connection, Peer(first, time.monotonic())
        self._send(0, {"rank": self.rank, "name": name, "token": token})

    def _send(self, to: int, message: dict[str, Any]) -> None:
        with suppress(OSError):
            self._sockets[to].sendall(json.dumps(message).encode() + b"\n")

    def _tell_all(self, message: dict[str, Any]) -> None:
        for rank in self._sockets:
            self._send(rank, message)

    # The thread -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        for connection in self._sockets.values():
            connection.settimeout(BEAT)
        beat = 0.0
        while self._sockets:
            now = time.monotonic()
            if now >= beat:
                beat = now + BEAT
                self._beat(now)
            ready, _, _ = select.select(list(self._sockets.values()), [], [], max(0.0, beat - now))
            for connection in ready:
                rank = next(r for r, s in self._sockets.items() if s is connection)
                if not self._hear(rank, connection):
                    return

    def _beat(self, now: float) -> None:
        if self.rank:
            self._send(0, {"count": self._count, "where": self._where, "waiting": self._waiting})
            if now - self._peers[0].seen > self.timeout and not self._failed:
                self._end(
                    f"{self._peers[0].name} hangs: it has said nothing for {now - self._peers[0].seen:.0f} seconds",
                    LOST,
                )
            return
        self._peers[0].says(now, self._count, self._where, self._waiting)
        self._tell_all({})
        if found := verdict(self._peers, now, self.timeout):
            self._tell_all({"lost": found, "code": LOST})
            self._end(found, LOST)

    def _hear(self, rank: int, connection: socket.socket) -> bool:
        """Take in what a rank says; whether there is more to hear."""
        try:
            data = connection.recv(1 << 16)
        except OSError:
            data = b""
        peer = self._peers[rank]
        if not data:
            del self._sockets[rank]
            if not peer.ended and not self._failed:  # else this one's own error is what counts
                text = f"{peer.name} has died"
                self._tell_all({"lost": text, "code": LOST})
                self._end(text, LOST)
            return True
        *lines, rest = (self._buffers.pop(rank, b"") + data).split(b"\n")
        self._buffers[rank] = rest
        now = time.monotonic()
        for line in lines:
            message = json.loads(line)
            peer.seen = now
            if "lost" in message:
                if not self._failed:
                    self._end(message["lost"], message["code"])
                return False
            if "failed" in message:
                self._tell_all({"lost": message["failed"], "code": FAILED})
                self._end(message["failed"], FAILED)
            elif "bye" in message:
                peer.says(now, message["bye"], "the end of the program", False)
                peer.ended = True
                if rank == 0:
                    return False
            elif "count" in message:
                peer.says(now, message["count"], message["where"], message["waiting"])
        return True

    def _end(self, text: str, code: int) -> None:
        """Say it, and end the process, whatever its main thread waits for."""
        rest = ""
        with suppress(Exception):  # the process has to end
            rest = self.last_words(text)
        with suppress(OSError, ValueError):
            print(f"gpunn: {text}; rank {self.rank} ends{rest}", file=sys.stderr, flush=True)
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def _line(connection: socket.socket) -> bytes:
    """What comes up to the end of a line, byte by byte: what is behind it stays where it is."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 4096:
        if not (byte := connection.recv(1)):
            break
        line += byte
    return line


def _addresses() -> list[str]:
    """By what other machines may reach this one: the address towards others, and those of its name."""
    found: dict[str, None] = {}
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; of the addresses for documentation, RFC 5737
        found[probe.getsockname()[0]] = None
    with suppress(OSError):
        found.update((str(info[4][0]), None) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET))
    return [address for address in found if not address.startswith("127.")] or ["127.0.0.1"]
