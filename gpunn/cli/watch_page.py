"""The page of ``gpunn watch``: the report of a run as it grows, for browsers on this machine alone."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gpunn.io import FileFormatError, json_text
from gpunn.train.progress import described, duration
from gpunn.train.report import one, page, read_run
from gpunn.train.status import EVERY, Follower

from .errors import UsageError

HOST = "127.0.0.1"
LINGER = 5.0
"""Seconds that the server waits for a page that is open to fetch how the run has ended."""

SCRIPT = """
const line = document.querySelector("#now");
let version = "", ended = false;
async function look() {
  const answer = await fetch("/now?" + version);
  const now = await answer.json();
  if (line.textContent !== now.line) line.textContent = now.line;
  if (now.main) {
    const open = [...document.querySelectorAll("details")].map((d) => d.open);
    const fresh = new DOMParser().parseFromString(now.main, "text/html").querySelector("main");
    document.querySelector("main").replaceWith(fresh);
    document.querySelectorAll("details").forEach((d, i) => { d.open = Boolean(open[i]); });
    version = now.version;
  }
  ended = !now.running;
}
async function follow() {
  while (!ended) {
    try { await look(); } catch { line.textContent = "gpunn watch has ended."; return; }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
follow();
"""


class Pages(ThreadingHTTPServer):
    """Serves the page at ``/``, and what has changed since at ``/now?VERSION``. Nothing is read from the address but
    that, so no other file can be asked for.

    Only requests to this very address are answered (RFC 9110, 7.4, 421): a page from elsewhere, whose name was made to
    lead here, asks for another host.
    """

    daemon_threads = True

    def __init__(self, follower: Follower, port: int):
        super().__init__((HOST, port), Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        self.folder = follower.folder
        self.nonce = secrets.token_urlsafe(16)
        self.asked = 0.0
        """When a page asked last."""
        self.told = False
        """Whether one has been told that the run has ended."""
        self._lock = threading.Lock()
        self._follower = Follower(follower.folder)
        self._seen: Any = None
        self._main = ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that went away is no error."""

    def now(self, version: str) -> dict[str, Any]:
        """Where the run is, and the page's content where that is not of the version that is there."""
        with self._lock:
            try:
                self._follower.look()
                status = self._follower.status
                self._read(status.notes)
                found = {"line": _line(self._follower), "running": status.running}
            except (FileNotFoundError, FileFormatError) as error:
                found = {"line": str(error), "running": False}
            mine = hashlib.sha256(self._main.encode()).hexdigest()[:16]
            self.asked, self.told = time.monotonic(), not found["running"]
            return found | ({} if version == mine else {"main": self._main, "version": mine})

    def _read(self, notes: list[str]) -> None:
        """Make the content anew where a file of the run has changed."""
        folder = self.folder
        paths = (folder.config_path, folder.metrics_path, folder.gradients_path, folder.facts_path)
        seen = [(p.stat().st_mtime_ns, p.stat().st_size) if p.exists() else None for p in paths], notes
        if seen != self._seen:
            found = read_run(folder)
            said = page.section("Notes", page.items(notes))
            self._main, self._seen = page.main(found.name, [said, *one.sections(found)]), seen

    def whole(self) -> str:
        """The page."""
        name = self.folder.path.resolve().name
        status = '<p id="now" role="status">Looking for the run. A page without scripts shows no more than this.</p>\n'
        head = '<link rel="icon" href="data:,">\n'
        script = f'<script nonce="{self.nonce}">{SCRIPT.replace("EVERY", str(round(1000 * EVERY)))}</script>\n'
        return page.page(name, [], head=head, before=status, behind=script)


class Handler(BaseHTTPRequestHandler):
    """Answers GET, and nothing else."""

    server: Pages
    server_version, sys_version = "gpunn", ""
    timeout = 30

    def do_GET(self) -> None:
        """The page, or what is new."""
        if self.headers.get("Host", "") not in self.server.hosts:
            self._answer(421, "text/plain", "this server answers requests to its own address only\n")
            return
        path, _, query = self.path.partition("?")
        if self.path == "/":
            self._answer(200, "text/html", self.server.whole())
        elif path == "/now":
            self._answer(200, "application/json", json_text(self.server.now(query)))
        else:
            self._answer(404, "text/plain", "there is only /\n")

    def _answer(self, code: int, kind: str, text: str) -> None:
        content = text.encode("utf-8")
        self.send_response(code)
        nonce = self.server.nonce
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": (
                f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data:; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            ),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nothing to tell."""


@contextmanager
def serving(follower: Follower, port: int) -> Iterator[str]:
    """While it is entered, the page of a run is served; its address. At the end an open page is told how that was.

    port: 0 for one that is free

    Raises UsageError where the port is not free.
    """
    try:
        server = Pages(follower, port)
    except OSError as error:
        raise UsageError(f"--port {port}: {error.strerror}; choose another one") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
        end = time.monotonic() + LINGER
        while time.monotonic() < end and server.asked > time.monotonic() - LINGER and not server.told:
            time.sleep(0.05)
        time.sleep(0.1)  # the answer may be on its way
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _line(follower: Follower) -> str:
    """Where the run is, in a line."""
    status = follower.status
    if not status.running:
        return f"The run has ended: {status.state}. {status.message}".strip()
    if status.state != "training":
        return f"{status.state.capitalize()}, epoch {status.epoch} of {status.epochs}."
    of = "" if status.batches is None else f" of {status.batches}"
    parts = [f"Epoch {status.epoch} of {status.epochs}, batch {status.batch}{of}", described(status.values)]
    parts += [f"{status.rate:,.0f} samples/s"] if status.rate else []
    parts += [] if status.left is None else [f"{duration(status.left)} left"]
    return "   ".join(part for part in parts if part)
