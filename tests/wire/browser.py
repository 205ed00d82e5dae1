"""Headless Chromium, driven over its DevTools protocol.

    async with Browser() as browser:
        page = await browser.open("http://127.0.0.1:7999/")
        await page.wait_for("document.querySelector('#log').childElementCount === 3")

Only what the tests need: pages, evaluation, waiting, typing, screenshots. The browser has a
profile of its own, resolves no names, and is gone with all its processes when the context ends.
"""

import asyncio
import base64
import contextlib
import os
import pathlib
import signal
import tempfile

import aiohttp

from tests.programs import program

START_TIMEOUT = 40.0
WAIT_TIMEOUT = 20.0
_POLL = 0.02

_FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--disable-extensions",
    "--disable-gpu",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--mute-audio",
    "--password-store=basic",
)


class Browser:
    """One Chromium process."""

    async def __aenter__(self):
        self._stack = contextlib.AsyncExitStack()
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    async def open(self, url: str, *, width: int = 1200, height: int = 800, dark: bool = False):
        """Open a page with cookies and storage of its own, and wait until it is loaded."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context
        )
        session = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, session["sessionId"])
        await page.call("Page.enable")
        await page.call("Runtime.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.call("Emulation.setEmulatedMedia", features=[scheme])
        await page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await page.go(url)
        return page

    async def call(self, method: str, session: str | None = None, **parameters):
        """Send one DevTools command and return its result."""
        self._last_id += 1
        command = {"id": self._last_id, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        self._answers[self._last_id] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json(command)
        return await asyncio.wait_for(answer, START_TIMEOUT)

    # starting and ending

    async def _start(self) -> None:
        self._last_id = 0
        self._answers = {}
        self.pages = {}
        profile = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        )
        flags = [*_FLAGS, f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        with pathlib.Path(profile, "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                program("chromium"),
                *flags,
                "about:blank",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._stack.push_async_callback(self._kill)
        address = await self._address(pathlib.Path(profile))
        http = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._socket = await http.ws_connect(address, max_msg_size=0)
        self._stack.push_async_callback(self._socket.close)
        reader = asyncio.get_running_loop().create_task(self._read())
        self._stack.push_async_callback(self._cancel, reader)

    async def _address(self, profile: pathlib.Path) -> str:
        """The DevTools address, which Chromium writes into its profile when it listens."""
        file = profile / "DevToolsActivePort"
        async with asyncio.timeout(START_TIMEOUT):
            while not file.exists() or "\n" not in (text := file.read_text()):
                if self._process.returncode is not None:
                    raise RuntimeError((profile / "log").read_text(errors="replace"))
                await asyncio.sleep(_POLL)
        port, path = text.split("\n")[:2]
        return f"ws://127.0.0.1:{port}{path}"

    async def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    @staticmethod
    async def _cancel(task) -> None:
        task.cancel()
        await asyncio.wait([task])

    # what it says

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answered(said)
            elif page := self.pages.get(said.get("sessionId")):
                page.happened(said["method"], said["params"])

    def _answered(self, said) -> None:
        answer = self._answers.pop(said["id"])
        if answer.done():
            return
        if "error" in said:
            answer.set_exception(RuntimeError(said["error"]["message"]))
        else:
            answer.set_result(said["result"])


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded = asyncio.Event()
        self.errors: list[str] = []
        browser.pages[session] = self

    async def go(self, url: str) -> None:
        """Go to `url` and wait for its load event."""
        self._loaded.clear()
        result = await self.call("Page.navigate", url=url)
        if "errorText" in result:
            raise RuntimeError(f"{url}: {result['errorText']}")
        await asyncio.wait_for(self._loaded.wait(), WAIT_TIMEOUT)

    async def close(self) -> None:
        """Leave the page, as its user closing the tab would."""
        await self.call("Page.close")

    async def evaluate(self, expression: str):
        """Return the value of a JavaScript expression; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if problem := result.get("exceptionDetails"):
            raise RuntimeError(problem.get("exception", problem).get("description", str(problem)))
        return result["result"].get("value")

    async def wait_for(self, expression: str, timeout: float = WAIT_TIMEOUT):
        """Return the first true value of a JavaScript expression."""
        end = asyncio.get_running_loop().time() + timeout
        while not (value := await self.evaluate(expression)):
            if asyncio.get_running_loop().time() > end:
                text = await self.evaluate("document.body.innerText")
                raise TimeoutError(f"{expression} stayed {value!r}; page: {text}; {self.errors}")
            await asyncio.sleep(_POLL)
        return value

    async def type(self, selector: str, text: str) -> None:
        """Replace what a field holds by `text` and press Enter, as a person would."""
        await self.evaluate(f"document.querySelector({selector!r}).select()")
        await self.call("Input.insertText", text=text)
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    async def screenshot(self, file: str, *, full: bool = False) -> None:
        """Write what the page looks like to a PNG file."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=full)
        pathlib.Path(file).write_bytes(base64.b64decode(shot["data"]))

    async def call(self, method: str, **parameters):
        """Send one DevTools command to this page."""
        return await self._browser.call(method, self._session, **parameters)

    def happened(self, method: str, parameters) -> None:
        """Take note of an event."""
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", ""))
