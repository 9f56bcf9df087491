"""
h2load asks our server for very much.
"""

from __future__ import annotations

from tests.peers.case import MIB, DemoCase
from tests.peers.programs import Program, residentSize


class H2loadCase(DemoCase):
    """
    Runs h2load against the demo.
    """

    peers = ("h2load",)
    timeout = 150

    def assertAllSucceeded(self, program: Program, number: int) -> None:
        """
        Check what h2load counted.
        """
        wanted = f"requests: {number} total, {number} started, {number} done, {number} succeeded, 0 failed, 0 errored"
        self.assertIn(wanted, program.output)
        self.assertIn(f"status codes: {number} 2xx, 0 3xx, 0 4xx, 0 5xx", program.output)

    async def assertServes(self) -> None:
        """
        Check that the server is well.
        """
        self.assertAllSucceeded(await self.run_("h2load", self.url("/hello")), 1)
        self.assertHealthyLog()


class H2loadTests(H2loadCase):
    """
    Over TLS, and in clear text below.
    """

    async def test_tenThousand(self) -> None:
        """
        Ten thousand requests on ten connections of a hundred streams are answered, every one.
        """
        program = await self.run_("h2load", "-n10000", "-c10", "-m100", self.url("/hello"), seconds=120)
        self.assertAllSucceeded(program, 10000)
        await self.assertServes()

    async def test_uploads(self) -> None:
        """
        A thousand uploads on ten connections arrive.
        """
        uploads = ["-n1000", "-c10", "-m20", "-d", self.file(20_000)]
        self.assertAllSucceeded(await self.run_("h2load", *uploads, self.url("/discard"), seconds=60), 1000)

    async def test_moreThanAllowed(self) -> None:
        """
        A client that means to open more streams than allowed keeps to what it is told, and gets all its answers.
        """
        program = await self.run_("h2load", "-n2000", "-c2", "-m1000", self.url("/hello"), seconds=60)
        self.assertAllSucceeded(program, 2000)

    async def test_cancelledDownloads(self) -> None:
        """
        A hundred clients that die in the middle of their downloads leave a server that is well, and nothing behind.
        """
        downloads = ["-n1000", "-c20", "-m5", "-w20", "-W20", self.url("/bytes/100000000")]
        await self.assertServes()
        before = residentSize(self.demo.pid)
        for _ in range(5):
            program = self.start("h2load", *downloads)
            await program.says("progress|spawning")
            await program.kill()
        await self.assertServes()
        self.assertLess(residentSize(self.demo.pid) - before, 40 * MIB)


class H2loadInClearTests(H2loadTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"


class EnduranceTests(H2loadCase):
    """
    One connection that lives long.
    """

    timeout = 300
    scheme = "http"

    async def test_twoHundredThousand(self) -> None:
        """
        Two hundred thousand requests on one connection leave no trace in memory.
        """
        program = self.start("h2load", "-n200000", "-c1", "-m100", self.url("/hello"))
        await program.says("^progress: 10% done", 100)
        early = residentSize(self.demo.pid)
        await program.says("^progress: 100% done", 250)
        late = residentSize(self.demo.pid)
        await program.ends()
        self.assertAllSucceeded(program, 200_000)
        self.note(f"{early / MIB:.1f} MiB after a tenth, {late / MIB:.1f} MiB at the end")
        self.assertLess(late - early, 8 * MIB)
        await self.assertServes()
