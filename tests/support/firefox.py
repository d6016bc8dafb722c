"""A real headless Firefox, driven through Marionette, its remote protocol (JSON over TCP)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from oviya.cli.local.browsers import is_snap

START_S = 60.0
POLL_S = 0.05
LIMIT = 64 << 20
"""Longest answer, in bytes."""

PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "marionette.port": 0,
    "media.autoplay.blocking_policy": 0,
    "media.autoplay.default": 0,
    "media.cubeb.force_mock_context": True,  # else no AudioContext runs on a machine without a sound card
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "network.captive-portal-service.enabled": False,
    "network.proxy.type": 0,
    "remote.prefs.recommended": True,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}

# Errors of the page's scripts and policies, and what it wrote with console.error.
ERRORS = """
const [url] = arguments;
const thrown = Services.console.getMessageArray()
  .filter((message) => message instanceof Ci.nsIScriptError && message.sourceName?.startsWith(url))
  .filter(({flags}) => !(flags & Ci.nsIScriptError.warningFlag))
  .map((message) => message.toString());
const storage = Cc['@mozilla.org/consoleAPI-storage;1'].getService(Ci.nsIConsoleAPIStorage);
const logged = storage.getEvents()
  .filter(({level, filename}) => level === 'error' && filename?.startsWith(url))
  .map((event) => [...event.arguments].join(' '));
return [...thrown, ...logged];
"""


def find_firefox() -> Path | None:
    """Returns an installed Firefox that is no snap, or None: a snap cannot read a test's files."""
    for name in ("firefox-esr", "firefox"):
        found = shutil.which(name)
        if found and not is_snap(Path(found)):
            return Path(found)
    return None


class Firefox:
    """One window."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._asked = 0

    async def call(self, command: str, **parameters: Any) -> Any:
        """Runs a command; returns its result."""
        self._asked += 1
        request = json.dumps([0, self._asked, command, parameters]).encode()
        self._writer.write(b"%d:%s" % (len(request), request))
        await self._writer.drain()
        _, number, error, result = await self.read()
        assert number == self._asked
        assert error is None, f"{command}: {error['error']}: {error['message']}"
        return result

    async def read(self) -> Any:
        """Reads one message."""
        size = await self._reader.readuntil(b":")
        return json.loads(await self._reader.readexactly(int(size[:-1])))

    async def run(self, script: str, *arguments: Any) -> Any:
        """Runs a script in the page; returns what it returns."""
        return (await self.call("WebDriver:ExecuteScript", script=script, args=arguments))["value"]

    async def wait_until(self, condition: str, timeout_s: float) -> None:
        """Waits until a JavaScript expression is true."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.run(f"return Boolean({condition})"):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            shown = await self.run("return document.body.innerText")
            raise AssertionError(f"not within {timeout_s:g} s: {condition}; the page shows: {shown}") from None

    async def errors(self, url: str) -> list[str]:
        """Returns the errors of the page at `url` so far."""
        await self.call("Marionette:SetContext", value="chrome")
        found = await self.run(ERRORS, url)
        await self.call("Marionette:SetContext", value="content")
        return found


@asynccontextmanager
async def open_firefox(program: Path, profile: Path) -> AsyncIterator[Firefox]:
    """Starts Firefox with a profile of its own; its microphone is fake.

    Args:
        profile: an empty folder.
    """
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_S):
            port_file = profile / "MarionetteActivePort"
            while not (port_file.exists() and port_file.read_text()):
                assert process.returncode is None, f"Firefox ended with status {process.returncode}"
                await asyncio.sleep(POLL_S)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port_file.read_text()), limit=LIMIT)
            firefox = Firefox(reader, writer)
            await firefox.read()  # its greeting
            await firefox.call("WebDriver:NewSession")
        yield firefox
        writer.close()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
