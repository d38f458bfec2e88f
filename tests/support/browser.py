"""A real browser without a window, driven over its own protocol (Chrome DevTools Protocol).

Chromium of the distribution is used as it is; `websockets`, which the product needs anyway, is all
that drives it.
"""

import base64
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from system.supervised_process import SupervisedProcess

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_S = 60.0
ANSWER_S = 60.0
KEYS: Mapping[str, int] = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Escape": 27,
    "Enter": 13,
}
"""Name → code of keys that write nothing."""
FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-sandbox",  # a container's root has no other way
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--mute-audio",
)


def browser_path() -> str:
    """Raises FileNotFoundError: whoever runs these tests wants a browser."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise FileNotFoundError(f"no browser is installed: none of {', '.join(NAMES)}")
    return found


class _Process(SupervisedProcess):
    def __init__(self, folder: Path) -> None:
        super().__init__(log=deque(maxlen=50), grace_s=5.0)
        self.folder = folder
        self.address = ""

    def start(self) -> None:
        """Raises TimeoutError."""
        self.spawn((browser_path(), *FLAGS, f"--user-data-dir={self.folder}", "about:blank"))
        file = self.folder / "DevToolsActivePort"
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) > 1:
                self.address = f"ws://127.0.0.1:{lines[0]}{lines[1]}"
                return
            time.sleep(0.05)
        raise TimeoutError(f"the browser did not start: {self.log_tail()}")


@dataclass
class Tab:
    """A page that is open, and all that it said and asked for."""

    connection: ClientConnection
    session: str
    events: list[dict[str, Any]] = field(default_factory=list)
    _last: int = 0

    def send(self, method: str, **fields: Any) -> Any:
        """The answer. Raises AssertionError for an error, TimeoutError for none."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": fields, "sessionId": self.session}
        self.connection.send(json.dumps(message))
        while True:
            answer = json.loads(self.connection.recv(ANSWER_S))
            if answer.get("id") == self._last and answer.get("sessionId") == self.session:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def open(self, url: str, width: int = 1440, height: int = 900) -> None:
        """Until it has loaded."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        self.events.clear()
        self.send("Page.navigate", url=url)
        self.until(lambda: any(each.get("method") == "Page.loadEventFired" for each in self.events))

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def run(self, script: str) -> Any:
        """What an expression comes to, once its promise is kept. Raises AssertionError where it
        throws."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, holds: Callable[[], bool], seconds: float = 30.0) -> None:
        """Raises AssertionError."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not come to be"
            self.run("new Promise((done) => requestAnimationFrame(done))")

    def press(self, key: str, *, ctrl: bool = False) -> None:
        code = KEYS.get(key, 0)
        text = {} if code or ctrl else {"text": key}
        fields = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 2 if ctrl else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", **fields, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **fields)

    def write(self, text: str) -> None:
        """Into what has the focus."""
        self.send("Input.insertText", text=text)

    def shot(self, path: Path) -> Path:
        """A picture of what can be seen."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
        return path

    def requests(self) -> list[str]:
        """URLs that were asked for and lie neither in the page nor on this disk."""
        asked = dict[str, str]()
        for each in self.events:
            params = each.get("params", {})
            match each.get("method"):
                case "Network.requestWillBeSent":
                    asked[params["requestId"]] = params["request"]["url"]
                case "Network.loadingFailed" if params.get("blockedReason"):
                    asked.pop(params["requestId"], None)  # it was stopped before it went out
        return [url for url in asked.values() if not url.startswith(("file:", "data:", "blob:"))]

    def complaints(self) -> list[Any]:
        """Errors and warnings of the console, exceptions, breaches of the page's policy."""
        found = []
        for each in self.events:
            params = each.get("params", {})
            match each.get("method"):
                case "Runtime.exceptionThrown":
                    found.append(params["exceptionDetails"])
                case "Runtime.consoleAPICalled":
                    found.append(params["args"])
                case "Log.entryAdded":
                    found.append(params["entry"])
        return found


@dataclass
class Browser:
    connection: ClientConnection
    downloads: Path
    """Where files go that a page gives out."""

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """In a profile of its own, of which nothing is left."""
        context = self._send("Target.createBrowserContext")["browserContextId"]
        self._send(
            "Browser.setDownloadBehavior",
            behavior="allow",
            browserContextId=context,
            downloadPath=str(self.downloads),
        )
        target = self._send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        yield Tab(self.connection, attached["sessionId"])
        self._send("Target.disposeBrowserContext", browserContextId=context)

    def _send(self, method: str, **fields: Any) -> Any:
        self.connection.send(json.dumps({"id": 0, "method": method, "params": fields}))
        while True:
            answer = json.loads(self.connection.recv(ANSWER_S))
            if answer.get("id") == 0 and "sessionId" not in answer:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """`folder` is empty, and for this browser alone."""
    process = _Process(folder / "profile")
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    try:
        process.start()
        with connect(process.address, max_size=None) as connection:
            yield Browser(connection, downloads)
    finally:
        process.stop()
