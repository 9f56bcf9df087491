"""
The demo's page in a real browser, over TLS.
"""

from __future__ import annotations

import json
from typing import Any

from tests.peers.case import DemoCase
from tests.peers.chromium import Chromium


class PageTests(DemoCase):
    """
    A browser that reads the page and uses what is on it.
    """

    peers = ("chromium",)
    timeout = 120

    async def setUp(self) -> None:
        """
        Start the demo and the browser, and wait until the page shows its session.
        """
        await super().setUp()
        self.browser = Chromium(self.mktemp(), self.certificate.certificatePath)
        self.addCleanup(self.browser.end)
        await self.browser.open(self.url("/"))
        await self.browser.until("document.getElementById('status').textContent === 'live'")

    async def text(self, name: str) -> str:
        """
        Read an element.
        """
        found: str = await self.browser.evaluate(f"document.getElementById('{name}').textContent")
        return found

    async def click(self, name: str) -> None:
        """
        Click a button.
        """
        await self.browser.evaluate(f"document.getElementById('{name}').click()")

    async def result(self, name: str, seconds: float = 30) -> str:
        """
        Wait for what a part of the page comes to, and check that this is good.
        """
        look = f"document.querySelector('#{name}.good, #{name}.bad')"
        found: str = await self.browser.until(f"{look} && {look}.className + ': ' + {look}.textContent", seconds)
        self.assertTrue(found.startswith("result good: "), found)
        return found.removeprefix("result good: ")

    async def session(self) -> dict[str, Any]:
        """
        Ask the server, from the page, about the page's session.
        """
        facts: dict[str, Any] = json.loads(await self.browser.evaluate("fetch('/session').then(r => r.text())"))
        return facts

    async def test_protocol(self) -> None:
        """
        The page and all it loads come over h2, on one session.
        """
        entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        found = await self.browser.evaluate(f"{entries}.map(each => [each.name, each.nextHopProtocol])")
        names = [name.rpartition("/")[2] for name, _ in found]
        self.assertEqual(names[:3], ["", "page.css", "page.js"])
        self.assertEqual({protocol for name, protocol in found if protocol}, {"h2"})
        self.assertEqual((await self.session())["peer"], await self.text("peer"))
        self.assertEqual(self.browser.problems, [])

    async def test_live(self) -> None:
        """
        The session's facts are shown, and go on: numbers, open streams, settings and the plots.
        """
        before = await self.text("age")
        await self.browser.until(f"document.getElementById('age').textContent !== '{before}'")
        await self.browser.until("document.querySelector('#rtt-plot path').getAttribute('d').includes('L')")
        await self.browser.until("document.querySelector('#rate-plot path.two').getAttribute('d').includes('L')")
        for name, pattern in (
            ("rtt", r"^[\d.]+ (µs|ms|s)$"),
            ("open", r"^\d+$"),
            ("streams", r"^\d+$"),
            ("read", r"^[\d.]+ (B|KiB)$"),
            ("written", r"^[\d.]+ KiB$"),
            ("frames", r"^\d+, \d+$"),
            ("local-window", r"^[\d.]+ [KM]iB$"),
            ("remote-window", r"^[\d.]+ [KM]iB$"),
            ("budgets", r"^\d+, \d+$"),
        ):
            self.assertRegex(await self.text(name), pattern, name)
        self.assertIn("GET /live", await self.text("stream-rows"))
        settings = await self.text("setting-rows")
        self.assertIn("enableConnectProtocoltrue", settings)
        self.assertEqual((await self.session())["peer"], await self.text("peer"))
        self.assertEqual(self.browser.problems, [])

    async def test_streamedAnswer(self) -> None:
        """
        A streamed answer is shown as it comes.
        """
        await self.click("drip")
        await self.browser.until(
            "document.getElementById('drip-output').textContent.includes('line 2 ')"
            " && !document.getElementById('drip-output').textContent.includes('line 8 ') && 'some of it'"
        )
        said = await self.result("drip-result")
        self.assertEqual(await self.text("drip-output"), "".join(f"line {n} of 8\n" for n in range(1, 9)))
        self.assertRegex(said, r"^[3-8] chunks in [\d.]+ s$")
        self.assertEqual(self.browser.problems, [])

    async def test_upload(self) -> None:
        """
        An upload shows its progress, and arrives whole.
        """
        await self.click("upload")
        said = await self.result("upload-result", 60)
        self.assertRegex(said, r"^16\.0 MiB in .*/s, \d+ steps$")
        self.assertEqual(await self.browser.evaluate("document.getElementById('upload-progress').value"), 1)
        self.assertEqual(self.browser.problems, [])

    async def test_webSocket(self) -> None:
        """
        A WebSocket opens on the page's own session, echoes, and is closed in order.
        """
        streams = "document.getElementById('stream-rows').textContent"
        before = (await self.session())["state"]["remoteStreams"]
        await self.browser.evaluate("document.getElementById('message').value = 'grüße €😀'")
        await self.click("send")
        await self.browser.until("document.getElementById('socket-output').textContent.includes('< ')")
        self.assertEqual(await self.text("socket-output"), "> grüße €😀\n< grüße €😀\n")
        self.assertEqual(
            await self.browser.evaluate("socket.extensions"),
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        )
        after = await self.session()
        self.assertEqual((after["peer"], after["state"]["remoteStreams"]), (await self.text("peer"), before + 1))
        await self.browser.until(f"{streams}.includes('websocket /ws')")
        await self.browser.evaluate("document.getElementById('message').value = 'again and again '.repeat(5000)")
        await self.click("send")
        await self.browser.until("document.getElementById('socket-output').textContent.length > 160000")
        await self.click("close")
        await self.browser.until("document.getElementById('socket-result').textContent.startsWith('closed')")
        self.assertEqual(await self.result("socket-result"), "closed with 1000")
        await self.browser.until(f"!{streams}.includes('websocket /ws')")
        self.assertEqual(self.browser.problems, [])

    async def test_binary(self) -> None:
        """
        Binary messages come back as they were sent, many at once too.
        """
        same = """new Promise((resolve, reject) => {
            const socket = new WebSocket(`wss://${location.host}/ws`);
            const sent = [...Array(50).keys()].map(n => new Uint8Array(n * 1000).map((_, at) => at * n));
            let count = 0;
            socket.binaryType = 'arraybuffer';
            socket.onopen = () => sent.forEach(each => socket.send(each));
            socket.onmessage = (event) => {
                const got = new Uint8Array(event.data), expected = sent[count++];
                const same = got.length === expected.length && got.every((byte, at) => byte === expected[at]);
                if (!same) reject(new Error('what came back is not what was sent'));
                if (count === sent.length) socket.close(4001, 'all there');
            };
            socket.onclose = (event) => resolve([count, event.code, event.wasClean]);
        })"""
        self.assertEqual(await self.browser.evaluate(same), [50, 4001, True])

    async def test_tooBig(self) -> None:
        """
        A message above the server's limit closes the WebSocket with 1009, and the session goes on.
        """
        code = """new Promise((resolve) => {
            const socket = new WebSocket(`wss://${location.host}/ws`);
            socket.onopen = () => socket.send('x'.repeat(2000000));
            socket.onclose = (event) => resolve([event.code, event.reason]);
        })"""
        self.assertEqual(await self.browser.evaluate(code), [1009, "a message has more than 1048576 bytes"])
        self.assertEqual((await self.session())["peer"], await self.text("peer"))

    async def test_stop(self) -> None:
        """
        A server that stops ends what the page watches and closes its WebSocket with 1001; had it waited for its grace, the
        page would say that both were lost.
        """
        await self.click("send")
        await self.browser.until("document.getElementById('socket-output').textContent.includes('< ')")
        await self.demo.stop()
        await self.browser.until("document.getElementById('status').textContent === 'ended'")
        await self.browser.until("document.getElementById('socket-result').textContent === 'closed with 1001'")
