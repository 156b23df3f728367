"""Pages in a real browser: headless Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")

SECONDS = 60
"""After so long without an answer the browser has failed."""
KEYS = {
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Enter": 13,
    "Escape": 27, "Tab": 9, " ": 32, "PageUp": 33, "PageDown": 34,
}  # fmt: skip
_SCRIPT = Path(__file__).with_name("browser.js").read_text(encoding="utf-8")


def chromium() -> str:
    """Where Chromium is; a test that needs it is skipped where it is not installed."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    pytest.skip("Chromium is not installed")


class Browser:
    """Headless Chromium, which knows no network: every name leads nowhere."""

    def __init__(self) -> None:
        program = chromium()
        self._folder = tempfile.TemporaryDirectory(prefix="gpunn-chromium-", ignore_cleanup_errors=True)
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
            "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb", "--remote-allow-origins=*",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
            f"--user-data-dir={self._folder.name}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen([program, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if b"DevTools listening on" in line:
                self._socket = websocket.create_connection(line.split()[-1].decode(), timeout=SECONDS)
                break
        else:
            raise RuntimeError(f"{program} ended before it could be driven")
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the protocol; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps({**message, "sessionId": session} if session else message))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def events(self, session: str, until: str = "") -> list[dict[str, Any]]:
        """The events of a session up to now, each given once; with `until`, from there to the first of that name."""
        while until and not any(e.get("sessionId") == session and e["method"] == until for e in self._events):
            self._events.append(json.loads(self._socket.recv()))
        found = [e for e in self._events if e.get("sessionId") == session]
        self._events = [e for e in self._events if e.get("sessionId") != session]
        return found

    def cpu_seconds(self) -> float:
        """The CPU time of all processes that show pages."""
        found = self.call("SystemInfo.getProcessInfo")["processInfo"]
        return sum(process["cpuTime"] for process in found if process["type"] == "renderer")

    def tab(self) -> Tab:
        """A new page."""
        return Tab(self)

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stderr.close()  # type: ignore[union-attr]
        self._folder.cleanup()


class Tab:
    """A page.

    Attributes:
        requests: the addresses that were asked for, the page's own first.
        errors: what the console had to say of errors, failed requests and what the page's own policy forbade.
    """

    def __init__(self, browser: Browser):
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self._requests: list[str] = []
        self._errors: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.size(1200, 900)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, place: str | Path) -> Tab:
        """Load a file or an address, up to its load event."""
        self.look()
        self.call("Page.navigate", url=place if isinstance(place, str) else place.resolve().as_uri())
        self._note(self._browser.events(self._session, until="Page.loadEventFired"))
        return self

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    def wait(self, expression: str) -> bool:
        """Whether an expression becomes true within ten seconds."""
        return self.js(
            "new Promise((done) => { const look = (tries) => "
            f"({expression}) ? done(true) : tries ? setTimeout(() => look(tries - 1), 20) : done(false); look(500); }})"
        )

    def text(self, selector: str = "body") -> str:
        """The text that is shown of an element."""
        return self.js(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element, which is scrolled into view."""
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key."""
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def size(self, width: int, height: int = 900) -> None:
        """The size of the window, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, *, dark: bool = False, printed: bool = False) -> None:
        """How the page is shown: in light or dark, on a screen or on paper."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="print" if printed else "screen", features=features)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """The window, or the whole page, as a PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self) -> bytes:
        """The page, printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for since the tab was made, but not data in the page itself."""
        self.look()
        return [url for url in self._requests if not url.startswith(("data:", "about:", "blob:"))]

    @property
    def errors(self) -> list[str]:
        """What the console had to say of errors, of failed requests and of what the page's own policy forbade."""
        self.look()
        return list(self._errors)

    def look(self) -> None:
        """Take the events in that have come."""
        self.call("Runtime.evaluate", expression="0")  # what happened before the answer has been told before it
        self._note(self._browser.events(self._session))

    def _note(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            method, told = event["method"], event["params"]
            if method == "Network.requestWillBeSent":
                self._requests.append(told["request"]["url"])
            elif method == "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                self._errors.append(details.get("exception", {}).get("description") or details["text"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                self._errors.append(" ".join(str(a.get("value", a.get("description"))) for a in told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                self._errors.append(told["entry"]["text"])

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    # What any page has to hold ----------------------------------------------------------------------------------------

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.js("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def weak_texts(self) -> list[str]:
        """The texts that are shown with less contrast than WCAG 2.2 asks for (1.4.3, level AA), each with its ratio.

        The ratio of the relative luminances plus 0.05 is at least 4.5, and 3 for large text: from 24 px on, or from
        18.66 px on in bold. Behind a text lies what is drawn there: colours, blended by their opacity.
        """
        return self.js(f"{_SCRIPT}\nweakTexts()")

    def unlabelled(self) -> list[str]:
        """What a screen reader would find no name for, or no place: see the script for the list."""
        return self.js(f"{_SCRIPT}\nunlabelled()")
