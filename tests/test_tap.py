"""
Tests of L{txh2session.tap}: its options, the service on a reactor in memory, and the program as a process.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import socket
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.application.service import IServiceMaker
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.plugin import getPlugins
from twisted.python.runtime import platform
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.peers.programs import Program, find, reactor
from txh2session import ClientSession, HTTP2Error, Server, clientContextFactory, connect
from txh2session.tap import Address, CannotServe, H2SessionService, Options, makeService

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def parsed(*arguments: str) -> Options:
    """
    Parse a command line.
    """
    options = Options()
    options.parseOptions(arguments)
    return options


def certificateFiles(folder: str, *, days: int = 1, rsaBits: int = 0) -> tuple[str, str]:
    """
    Make a certificate for localhost, and its key.

    @param days: how long it is valid from now on; it has expired if negative.
    @param rsaBits: the size of an RSA key; an elliptic one if 0.

    @return: the paths of the two files.
    """
    key: Any = ec.generate_private_key(ec.SECP256R1())
    if rsaBits:
        key = rsa.generate_private_key(65537, rsaBits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    end = datetime.now(timezone.utc) + timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(end - timedelta(days=10)).not_valid_after(end)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
    os.makedirs(folder)
    paths = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    texts = (
        builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    for path, text in zip(paths, texts, strict=True):
        with open(path, "wb") as file:
            file.write(text)
    return os.path.abspath(paths[0]), os.path.abspath(paths[1])


class OptionsTests(SynchronousTestCase):
    """
    The command line.
    """

    def assertRefused(self, said: str, *arguments: str) -> None:
        """
        Check that a command line is refused with one line.
        """
        error = self.assertRaises(CannotServe, parsed, *arguments)
        self.assertEqual(str(error).splitlines(), [str(error)])
        self.assertTrue(str(error).startswith("h2session: "), str(error))
        self.assertIn(said, str(error))

    def test_defaults(self) -> None:
        """
        Without options both ports of localhost are served.
        """
        options = parsed()
        self.assertEqual(options["https"], Address("localhost", 8443))
        self.assertEqual(options["http"], Address("localhost", 8080))
        self.assertEqual(options["listen"], [])
        self.assertEqual((options["certificate"], options["private-key"]), (None, None))
        self.assertEqual((options["idle-timeout"], options["max-concurrent-streams"], options["grace"]), (60, 100, 30))

    def test_onlyWhatWasNamed(self) -> None:
        """
        Any of C{--https}, C{--http} and C{--listen} takes the place of the defaults.
        """
        options = parsed("--https", "1")
        self.assertEqual((options["https"], options["http"], options["listen"]), (Address("localhost", 1), None, []))
        options = parsed("--http", "2")
        self.assertEqual((options["https"], options["http"], options["listen"]), (None, Address("localhost", 2), []))
        options = parsed("--listen", "tcp:1", "--listen", "tcp:2")
        self.assertEqual((options["https"], options["http"], options["listen"]), (None, None, ["tcp:1", "tcp:2"]))

    def test_defaultsWithOthers(self) -> None:
        """
        The other options do not.
        """
        options = parsed("--certificate", "c", "--private-key", "k", "--grace", "1")
        self.assertEqual(options["https"], Address("localhost", 8443))
        self.assertEqual(options["http"], Address("localhost", 8080))

    def test_addresses(self) -> None:
        """
        An address is a port, or a host and a port; IPv6 addresses are in brackets.
        """
        for text, host, port in (
            ("0", "localhost", 0),
            ("65535", "localhost", 65535),
            ("example.org:80", "example.org", 80),
            ("127.0.0.1:8080", "127.0.0.1", 8080),
            ("[::1]:8080", "::1", 8080),
            ("[::]:0", "::", 0),
            ("[localhost]:1", "localhost", 1),
        ):
            self.assertEqual(parsed("--http", text)["http"], Address(host, port), text)
            self.assertEqual(parsed("--https", text)["https"], Address(host, port), text)

    def test_badAddresses(self) -> None:
        """
        Anything else is refused.
        """
        for text in ("", "x", "-1", "65536", "80x", "1e3", "\u0661", "host:", "host:x", "http://localhost:80", "[::1]"):
            self.assertRefused("--http", "--http", text)
            self.assertRefused("--https", "--https", text)
        self.assertRefused("brackets", "--http", "::1:80")
        self.assertRefused("no host", "--http", ":80")
        self.assertRefused("no host", "--http", "[]:80")

    def test_interfaces(self) -> None:
        """
        C{localhost} is both loopback addresses, any other host itself.
        """
        self.assertEqual(Address("localhost", 1).interfaces, ("127.0.0.1", "::1"))
        self.assertEqual(Address("::1", 1).interfaces, ("::1",))

    def test_numbers(self) -> None:
        """
        Numbers are read.
        """
        options = parsed("--idle-timeout", "0", "--grace", "0.5", "--max-concurrent-streams", "4294967295")
        self.assertEqual(options["idle-timeout"], 0.0)
        self.assertEqual(options["grace"], 0.5)
        self.assertEqual(options["max-concurrent-streams"], 2**32 - 1)

    def test_badNumbers(self) -> None:
        """
        What is none, or out of range, is refused.
        """
        for name in ("--idle-timeout", "--grace"):
            for text in ("", "x", "-1", "nan", "inf", "1e999"):
                self.assertRefused(name, name, text)
        for text in ("", "x", "-1", "0", "1.5", "4294967296", "\u0661"):
            self.assertRefused("--max-concurrent-streams", "--max-concurrent-streams", text)

    def test_unknown(self) -> None:
        """
        What is no option is refused.
        """
        self.assertRefused("--bogus", "--bogus")
        self.assertRefused("'extra'", "extra")
        self.assertRefused("--grace", "--grace")

    def test_uselessCertificate(self) -> None:
        """
        Options that would do nothing are refused.
        """
        self.assertRefused("--certificate", "--private-key", "k")
        self.assertRefused("--https", "--http", "0", "--certificate", "c")

    def test_logs(self) -> None:
        """
        The frame log's format and secrets are for the frame log, the key log for TLS.
        """
        self.assertRefused("need --frame-log", "--frame-log-format", "json")
        self.assertRefused("need --frame-log", "--frame-log-secrets")
        self.assertRefused("lines or json, not 'xml'", "--frame-log", "-", "--frame-log-format", "xml")
        self.assertRefused("--key-log is for --https", "--http", "0", "--key-log", "k")

    def test_help(self) -> None:
        """
        C{--help} names every option.
        """
        text = str(Options())
        for name in (
            *("--https=", "--http=", "--listen=", "--certificate=", "--private-key="),
            *("--idle-timeout=", "--max-concurrent-streams=", "--grace="),
            *("--frame-log=", "--frame-log-format=", "--frame-log-secrets", "--key-log="),
        ):
            self.assertIn(name, text)

    def test_plugin(self) -> None:
        """
        Twisted finds the plugin.
        """
        (maker,) = [each for each in getPlugins(IServiceMaker) if each.tapname == "h2session"]
        self.assertIs(maker.options, Options)
        self.assertIs(maker.makeService, makeService)


class LoopbackReactor(MemoryReactorClock):  # type: ignore[misc]
    """
    A reactor in memory, on a machine that lacks an address or has it in use.

    @ivar errors: what binding an address fails with, as numbers of C{errno}.
    @ivar bound: the addresses and ports that were bound.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, int] = {}
        self.bound: list[tuple[str, int]] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See C{IReactorTCP}."""
        number = self.errors.get(interface)
        if number is not None:
            raise CannotListenError(interface, port, OSError(number, os.strerror(number)))
        self.bound.append((interface, port))
        listening = super().listenTCP(port or 49152, factory, backlog, interface)
        listening.getHost().port = port or 49152
        return listening

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See C{IReactorSSL}."""
        return self.listenTCP(port, factory, backlog, interface)


@implementer(IStreamServerEndpoint)
class LateEndpoint:
    """
    An endpoint that takes its time to listen.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.listening: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    def listen(self, factory: object) -> Deferred[Any]:
        """See L{IStreamServerEndpoint}."""
        return self.listening


class ServiceTests(SynchronousTestCase):
    """
    The service, on a reactor in memory.
    """

    def setUp(self) -> None:
        """
        Collect what is logged.
        """
        self.reactor = LoopbackReactor()
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def service(self, *arguments: str) -> H2SessionService:
        """
        Make the service of a command line.
        """
        return makeService(parsed(*arguments), self.reactor)

    def urls(self) -> list[str]:
        """
        List the URLs that were logged.
        """
        return [event["url"] for event in self.logged if "url" in event]

    def test_both(self) -> None:
        """
        C{localhost} is served on both addresses, on one port, when the service starts.
        """
        service = self.service("--http", "8080")
        self.assertEqual(self.reactor.bound, [])
        service.startService()
        self.assertEqual(self.reactor.bound, [("127.0.0.1", 8080), ("::1", 8080)])
        self.assertEqual(self.urls(), ["http://localhost:8080/"])
        self.assertTrue(service.running)

    def test_crowd(self) -> None:
        """
        A thousand connections may wait to be accepted.
        """
        self.service("--http", "8080").startService()
        self.assertEqual([place[2] for place in self.reactor.tcpServers], [1024, 1024])

    def test_onePort(self) -> None:
        """
        A port that the kernel picked is served on both, and logged.
        """
        self.service("--http", "0").startService()
        self.assertEqual(self.reactor.bound, [("127.0.0.1", 0), ("::1", 49152)])
        self.assertEqual(self.urls(), ["http://localhost:49152/"])

    def test_oneFamily(self) -> None:
        """
        One of the two may be missing.
        """
        for missing, other in (("::1", "127.0.0.1"), ("127.0.0.1", "::1")):
            for number in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                self.reactor = LoopbackReactor()
                self.reactor.errors[missing] = number
                self.service("--http", "8080").startService()
                self.assertEqual(self.reactor.bound, [(other, 8080)])

    def test_noFamily(self) -> None:
        """
        But not both.
        """
        self.reactor.errors = {"127.0.0.1": errno.EADDRNOTAVAIL, "::1": errno.EAFNOSUPPORT}
        error = self.assertRaises(CannotServe, self.service("--http", "8080").startService)
        self.assertIn("127.0.0.1:8080", str(error))

    def test_inUse(self) -> None:
        """
        Neither may be in use.
        """
        for taken in ("::1", "127.0.0.1"):
            self.reactor = LoopbackReactor()
            self.reactor.errors[taken] = errno.EADDRINUSE
            error = self.assertRaises(CannotServe, self.service("--http", "8080").startService)
            self.assertIn(f"{taken}:8080", str(error))
            self.assertEqual(str(error).count("\n"), 0)
            self.assertEqual(self.urls(), [])

    def test_pickedInUse(self) -> None:
        """
        Unless the kernel picked the port, for the other.
        """
        self.reactor.errors["::1"] = errno.EADDRINUSE
        self.service("--http", "0").startService()
        self.assertEqual(self.urls(), ["http://localhost:49152/"])

    def test_otherMissing(self) -> None:
        """
        An address that was asked for may not be missing.
        """
        self.reactor.errors["::1"] = errno.EADDRNOTAVAIL
        self.assertRaises(CannotServe, self.service("--http", "[::1]:8080").startService)

    def test_urls(self) -> None:
        """
        What is logged can be asked for: addresses of every interface go by the name of localhost.
        """
        for text, url in (
            ("127.0.0.1:1", "http://127.0.0.1:1/"),
            ("[::1]:2", "http://[::1]:2/"),
            ("0.0.0.0:3", "http://localhost:3/"),
            ("[::]:4", "http://localhost:4/"),
        ):
            self.service("--http", text).startService()
            self.assertEqual(self.urls()[-1], url)

    def test_privileged(self) -> None:
        """
        C{twistd} has the ports bound while it still may, and not twice.
        """
        service = self.service("--http", "80")
        service.privilegedStartService()
        self.assertEqual(len(self.reactor.bound), 2)
        service.startService()
        self.assertEqual(len(self.reactor.bound), 2)

    def test_configuration(self) -> None:
        """
        The options get to the server.
        """
        server = self.service("--http", "0", "--max-concurrent-streams", "7", "--idle-timeout", "0").server
        self.assertEqual(server.settings.maxConcurrentStreams, 7)
        self.assertEqual(server.timeouts.idle, 0)

    def test_command(self) -> None:
        """
        The log has a command to try, which trusts the development certificate wherever it is kept, and a warning where
        that is of no use.
        """
        folder = os.path.abspath(os.path.join(self.mktemp(), "a folder"))
        self.patch(os, "environ", {**os.environ, "XDG_CACHE_HOME": folder, "HOME": folder, "LOCALAPPDATA": folder})
        self.service("--https", "0").startService()
        (command,) = [shlex.split(event["command"]) for event in self.logged if "command" in event]
        self.assertEqual(command[:3], ["curl", "--http2", "--cacert"])
        self.assertTrue(command[3].startswith(folder))
        self.assertTrue(os.path.exists(command[3]))
        self.assertEqual(command[4:], ["https://localhost:49152/"])
        warnings = [event for event in self.logged if event.get("log_level") is LogLevel.warn]
        self.assertEqual(warnings, [])
        self.service("--https", "192.0.2.1:0")
        self.assertEqual([event.get("host") for event in self.logged if "host" in event], ["192.0.2.1"])

    def test_ownCertificate(self) -> None:
        """
        A certificate of the user's own is used, with its key in a file of its own or beside it.
        """
        certificate, key = certificateFiles(self.mktemp())
        self.service("--https", "0", "--certificate", certificate, "--private-key", key).startService()
        both = self.mktemp()
        with open(both, "wb") as file:
            for path in (certificate, key):
                with open(path, "rb") as part:
                    file.write(part.read())
        self.service("--https", "0", "--certificate", both).startService()
        self.assertEqual(self.urls(), ["https://localhost:49152/"] * 2)

    def test_badCertificates(self) -> None:
        """
        A certificate or a key that cannot be used is refused before anything is served.
        """
        good, key = certificateFiles(self.mktemp())
        _, otherKey = certificateFiles(self.mktemp())
        weak, weakKey = certificateFiles(self.mktemp(), rsaBits=1024)
        missing = self.mktemp()
        for said, certificate, privateKey in (
            ("cannot be read", missing, key),
            ("cannot be read", good, missing),
            ("cannot be read", good, os.path.dirname(good)),
            ("not that of the certificate", good, otherKey),
            ("1024 bits", weak, weakKey),
            ("no certificate", key, key),
            ("no private key", good, good),
        ):
            arguments = ("--https", "0", "--certificate", certificate, "--private-key", privateKey)
            error = self.assertRaises(CannotServe, self.service, *arguments)
            self.assertIn(said, str(error))
            self.assertEqual(str(error).count("\n"), 0)

    def test_logsThatCannotBe(self) -> None:
        """
        Logs that cannot be opened are one line each, wherever their path comes from.
        """
        path = os.path.join(self.mktemp(), "log")
        certificate, key = certificateFiles(self.mktemp())
        tls = ("--https", "0", "--certificate", certificate, "--private-key", key)
        self.patch(os, "environ", {**os.environ, "SSLKEYLOGFILE": ""})
        error = self.assertRaises(CannotServe, self.service, *tls, "--frame-log", path)
        self.assertEqual(str(error), f"h2session: --frame-log {path}: No such file or directory")
        error = self.assertRaises(CannotServe, self.service, *tls, "--key-log", path)
        self.assertEqual(str(error), f"h2session: --key-log {path}: No such file or directory")
        os.environ["SSLKEYLOGFILE"] = path
        error = self.assertRaises(CannotServe, self.service, *tls)
        self.assertEqual(str(error), f"h2session: SSLKEYLOGFILE {path}: No such file or directory")
        self.service("--http", "0")  # which has no secrets

    def test_keyLogSaid(self) -> None:
        """
        A key log is never a secret itself.
        """
        path = self.mktemp()
        certificate, key = certificateFiles(self.mktemp())
        self.service("--https", "0", "--certificate", certificate, "--private-key", key, "--key-log", path)
        (event,) = [event for event in self.logged if event.get("path") == path]
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_expired(self) -> None:
        """
        An expired certificate is a warning.
        """
        certificate, key = certificateFiles(self.mktemp(), days=-1)
        self.service("--https", "0", "--certificate", certificate, "--private-key", key).startService()
        self.assertEqual(len(self.urls()), 1)
        self.assertIn(LogLevel.warn, [event.get("log_level") for event in self.logged])

    def test_endpoints(self) -> None:
        """
        C{--listen} takes any endpoint string, several times.
        """
        self.service("--listen", "tcp:1:interface=127.0.0.1", "--listen", r"tcp6:2:interface=\:\:1").startService()
        self.assertEqual(self.reactor.bound, [("127.0.0.1", 1), ("::1", 2)])
        self.assertEqual(
            [event["endpoint"] for event in self.logged if "endpoint" in event],
            ["tcp:1:interface=127.0.0.1", r"tcp6:2:interface=\:\:1"],
        )

    def test_badEndpoints(self) -> None:
        """
        One that Twisted does not understand is refused with one line, which quotes it.
        """
        certificate, _ = certificateFiles(self.mktemp())
        _, key = certificateFiles(self.mktemp())
        weak, weakKey = certificateFiles(self.mktemp(), rsaBits=1024)
        for said, text in (
            ("bogus", "bogus:1"),
            ("'x'", "tcp:x"),
            ("port", "tcp"),
            ("", ""),
            ("", ":"),
            ("nonsense", "tcp:1:nonsense=2"),
            ("No such file", f"ssl:1:privateKey={self.mktemp()}"),
            ("match", f"ssl:1:privateKey={key}:certKey={certificate}"),
            ("too small", f"ssl:1:privateKey={weakKey}:certKey={weak}"),
        ):
            error = self.assertRaises(CannotServe, self.service, "--listen", text)
            self.assertTrue(str(error).startswith(f"h2session: --listen {text}"), str(error))
            self.assertIn(said, str(error))
            self.assertEqual(str(error).count("\n"), 0)
            self.assertNotIn("_parse", str(error))

    def test_stop(self) -> None:
        """
        Stopping drains with the grace that was given.
        """
        service = self.service("--http", "0", "--grace", "7")
        service.startService()
        given: list[float | None] = []
        closing: Deferred[None] = Deferred()
        self.patch(service.server, "close", lambda grace=None: given.append(grace) or closing)
        self.assertIs(service.stopService(), closing)
        self.assertEqual(given, [7])
        self.assertFalse(service.running)

    def lateService(self, endpoint: LateEndpoint) -> H2SessionService:
        """
        Make a service on one endpoint.
        """

        class Place:
            """
            Listens on it.
            """

            async def listen(self, server: Server) -> None:
                """Listen."""
                await server.listen(endpoint)

        return H2SessionService(self.reactor, Server(lambda stream, headers: None), [Place()], 1)

    def test_late(self) -> None:
        """
        An endpoint may take its time.
        """
        endpoint = LateEndpoint()
        service = self.lateService(endpoint)
        service.startService()
        endpoint.listening.callback(FakePort())
        self.assertFalse(self.reactor.hasStopped)
        self.successResultOf(service.stopService())

    def test_tooLate(self) -> None:
        """
        Stopping before it listens calls it off.
        """
        endpoint = LateEndpoint()
        service = self.lateService(endpoint)
        service.startService()
        self.successResultOf(service.stopService())
        self.assertTrue(endpoint.cancelled)
        self.assertFalse(self.reactor.hasStopped)

    def test_soon(self) -> None:
        """
        One that fails at once fails the start.
        """
        endpoint = LateEndpoint()
        endpoint.listening = fail(OSError("no\nway"))
        error = self.assertRaises(CannotServe, self.lateService(endpoint).startService)
        self.assertEqual(str(error), "h2session: no way")


class FakePort:
    """
    A port that can be stopped.
    """

    def stopListening(self) -> Deferred[None]:
        """See C{IListeningPort}."""
        return succeed(None)


class ProgramTests(TestCase):
    """
    The program, as both of Twisted's runners start it.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        Make a home for the program.
        """
        self.home = os.path.abspath(self.mktemp())
        os.makedirs(self.home)
        self.environment = {"HOME": self.home, "XDG_CACHE_HOME": os.path.join(self.home, "cache"), "PYTHONPATH": ROOT}

    def twist(self, *arguments: str) -> Program:
        """
        Run C{python -m twisted h2session} in a checkout.
        """
        command = [sys.executable, "-m", "twisted", "--log-format", "text", "h2session", *arguments]
        return self.start(command, ROOT)

    def twistd(self, *arguments: str, daemon: bool = False) -> Program:
        """
        Run C{twistd h2session}.
        """
        run = "from twisted.scripts.twistd import run; run()"
        how = [f"--logfile={self.home}/log"] if daemon else ["--nodaemon"]
        command = [sys.executable, "-c", run, *how, f"--pidfile={self.home}/pid", "h2session", *arguments]
        return self.start(command, self.home)

    def start(self, command: list[str], folder: str | None = None) -> Program:
        """
        Start a program, which does not outlive the test.
        """
        program = Program(command, self.environment, folder)
        self.addCleanup(program.kill)
        return program

    async def url(self, program: Program, scheme: str) -> str:
        """
        Wait until it says what it serves.
        """
        match = await program.says(rf"Serving ({scheme}://localhost:\d+)/")
        return match[1]

    async def connect(self, url: str, **options: Any) -> ClientSession:
        """
        Connect to it.
        """
        session = await connect(reactor, url, **options)

        def end() -> Deferred[None]:
            session.destroy()
            return session.whenClosed().addErrback(lambda failure: failure.trap(HTTP2Error) and None)

        self.addCleanup(end)
        return session

    async def get(self, session: ClientSession, path: str) -> bytes:
        """
        Ask for something.
        """
        return await session.request({":path": path}).read()

    def assertHealthy(self, program: Program) -> None:
        """
        Check that nothing went wrong in its log.
        """
        for bad in ("Traceback", "Unhandled", "#critical]", "#error]"):
            self.assertNotIn(bad, program.said)

    async def assertFails(self, program: Program, said: str) -> None:
        """
        Check that it ends with one line of its own and a status that is not 0.
        """
        status = await program.ends()
        self.assertEqual(status, 1, program.said)
        lines = [
            line for line in program.said.splitlines() if "UnixAppLogger" not in line and " starting on " not in line
        ]
        self.assertEqual(len(lines), 1, program.said)
        self.assertIn("h2session: ", lines[0])
        self.assertIn(said, lines[0])

    async def test_serves(self) -> None:
        """
        It serves over TLS, with a certificate made for the purpose, and in clear text.
        """
        program = self.twist("--https", "0", "--http", "0")
        https, http = await self.url(program, "https"), await self.url(program, "http")
        folder = os.path.join(self.home, "cache", "txh2session")
        if sys.platform == "darwin":
            folder = os.path.join(self.home, "Library", "Caches", "txh2session")
        trust = clientContextFactory(trustRoot=os.path.join(folder, "localhost-certificate.pem"))
        self.assertEqual(os.stat(os.path.join(folder, "localhost-key.pem")).st_mode & 0o077, 0)
        for url, options in ((https, {"contextFactory": trust}), (http, {})):
            session = await self.connect(url, **options)
            self.assertEqual(await self.get(session, "/hello"), b"hello world\n")
        self.assertEqual(await program.stop(), -signal.SIGTERM)
        self.assertHealthy(program)

    async def test_logs(self) -> None:
        """
        Frames and the secrets of TLS are written to the files that were asked for, also with relative paths and another
        folder to run in.
        """
        self.environment["SSLKEYLOGFILE"] = os.path.join(self.home, "keys")
        run = "from twisted.scripts.twistd import run; run()"
        how = ["--nodaemon", f"--rundir={os.path.abspath(os.sep)}", f"--pidfile={self.home}/pid", "h2session"]
        logs = ["--frame-log", "frames", "--frame-log-format", "json", "--frame-log-secrets", "--key-log", "others"]
        program = self.start([sys.executable, "-c", run, *how, "--https", "0", *logs], self.home)
        url = await self.url(program, "https")
        session = await self.connect(url, contextFactory=clientContextFactory(verify=False))
        stream = session.request({":path": "/hello", "cookie": "a=b"})
        self.assertEqual(await stream.read(), b"hello world\n")
        self.assertEqual(await program.stop(), -signal.SIGTERM)
        self.assertHealthy(program)
        with open(os.path.join(self.home, "frames"), encoding="ascii") as file:
            entries = [json.loads(line) for line in file]
        (request,) = [each for each in entries if each.get("type") == "HEADERS" and each["event"] == "recv"]
        self.assertIn(["cookie", "a=b"], request["fields"])
        self.assertEqual((entries[0]["protocol"], entries[-1]["event"]), ("h2", "closed"))
        self.assertEqual(os.stat(os.path.join(self.home, "frames")).st_mode & 0o777, 0o600)
        with open(os.path.join(self.home, "others"), encoding="ascii") as file:
            lines = file.read().splitlines()
        self.assertTrue(any(line.startswith("CLIENT_TRAFFIC_SECRET_0 ") for line in lines), lines)
        self.assertFalse(os.path.exists(os.path.join(self.home, "keys")))

    async def test_frameLogToOutput(self) -> None:
        """
        Standard output gets the frames as they are, with either of Twisted's runners, and C{SSLKEYLOGFILE} the secrets.
        """
        self.environment["SSLKEYLOGFILE"] = os.path.join(self.home, "keys")
        for runner in (self.twist, self.twistd):
            program = runner("--https", "0", "--frame-log", "-")
            url = await self.url(program, "https")
            session = await self.connect(url, contextFactory=clientContextFactory(verify=False))
            stream = session.request({":path": "/hello", "cookie": "a=b"})
            self.assertEqual(await stream.read(), b"hello world\n")
            await program.says(r"^[0-9:.]+Z #1 recv stream=1 :path: /hello$")
            await program.says(r"^[0-9:.]+Z #1 recv stream=1 cookie: <secret>$")
            await program.says(r"^[0-9:.]+Z #1 send DATA stream=1 length=12 flags=END_STREAM$")
            await program.says("Secrets of TLS are appended to .*keys: whoever")
            await program.stop()
            self.assertHealthy(program)
            with open(self.environment["SSLKEYLOGFILE"], encoding="ascii") as file:
                self.assertIn("CLIENT_TRAFFIC_SECRET_0 ", file.read())
            os.remove(self.environment["SSLKEYLOGFILE"])

    async def test_curl(self) -> None:
        """
        The commands in its log can be pasted.
        """
        curl = find("curl")
        program = self.twist("--https", "0", "--http", "0")
        for scheme in ("https", "http"):
            command = (await program.says(rf"Serving {scheme}://.* - try: (curl .*)$"))[1]
            page = self.start([curl, *shlex.split(command)[1:], "-sS", "--max-time", "20"])
            self.assertEqual(await page.ends(), 0, page.said)
            self.assertIn("<title>txh2session</title>", page.output)
        await program.stop()
        self.assertHealthy(program)

    async def test_loopback(self) -> None:
        """
        Both loopback addresses are served where there are two.
        """
        program = self.twist("--http", "0")
        url = await self.url(program, "http")
        hosts = ["127.0.0.1", "[::1]"] if hasIPv6() else ["127.0.0.1"]
        for host in hosts:
            session = await self.connect(url.replace("localhost", host))
            self.assertEqual(await self.get(session, "/hello"), b"hello world\n")
        await program.stop()
        self.assertHealthy(program)

    async def drains(self, program: Program) -> None:
        """
        Check that a signal lets a request in flight finish, and no other begin.
        """
        url = await self.url(program, "http")
        session = await self.connect(url)
        slow = self.get(session, "/slow?seconds=2.5")
        waiting: Deferred[bytes] = Deferred.fromCoroutine(slow)
        self.assertEqual(await self.get(session, "/hello"), b"hello world\n")  # so it has seen the one before
        program.sendSignal(signal.SIGTERM)
        await program.says("Port .* Closed")
        await self.assertFailure(Deferred.fromCoroutine(self.connect(url)), HTTP2Error)
        self.assertFalse(waiting.called)
        self.assertEqual(await waiting, b"that took 2.5 seconds\n")
        self.assertEqual(await program.ends(), -signal.SIGTERM)
        self.assertHealthy(program)

    async def test_drainsTwist(self) -> None:
        """
        C{python -m twisted} drains.
        """
        await self.drains(self.twist("--http", "0"))

    async def test_drainsTwistd(self) -> None:
        """
        C{twistd} drains.
        """
        await self.drains(self.twistd("--http", "0"))
        self.assertFalse(os.path.exists(os.path.join(self.home, "pid")))

    async def test_grace(self) -> None:
        """
        Who takes longer than the grace is cut off.
        """
        program = self.twist("--http", "0", "--grace", "0.3")
        session = await self.connect(await self.url(program, "http"))
        waiting: Deferred[bytes] = Deferred.fromCoroutine(self.get(session, "/slow?seconds=3600"))
        await self.get(session, "/hello")
        program.sendSignal(signal.SIGTERM)
        await self.assertFailure(waiting, HTTP2Error)
        self.assertEqual(await program.ends(), -signal.SIGTERM)
        self.assertHealthy(program)

    async def test_idleTimeout(self) -> None:
        """
        An idle session is closed when the options say so, not after a minute.
        """
        program = self.twist("--http", "0", "--idle-timeout", "0.2")
        session = await self.connect(await self.url(program, "http"))
        await session.whenClosed()
        await program.stop()
        self.assertHealthy(program)

    async def test_portInUse(self) -> None:
        """
        A port in use is one line, and a failure, with either runner.
        """
        first = self.twist("--http", "127.0.0.1:0")
        port = (await first.says(r"Serving http://127\.0\.0\.1:(\d+)/"))[1]
        for run in (self.twist, self.twistd):
            await self.assertFails(run("--http", port), f"127.0.0.1:{port}")
            await self.assertFails(run("--listen", f"tcp:{port}:interface=127.0.0.1"), f"127.0.0.1:{port}")
        await first.stop()

    async def test_badOptions(self) -> None:
        """
        So is what is wrong with the options.
        """
        missing = os.path.join(self.home, "missing.pem")
        for run in (self.twist, self.twistd):
            await self.assertFails(run("--bogus"), "--bogus")
            await self.assertFails(run("--grace", "soon"), "--grace")
            await self.assertFails(run("--https", "0", "--certificate", missing), missing)
            await self.assertFails(run("--listen", "bogus:1"), "bogus:1")

    async def test_daemonFails(self) -> None:
        """
        A daemon that cannot serve says so to the shell, and leaves no PID file.
        """
        if not platform.isLinux() and not platform.isMacOSX():
            self.skipTest("there are no daemons here")
        first = self.twist("--http", "127.0.0.1:0")
        port = (await first.says(r"Serving http://127\.0\.0\.1:(\d+)/"))[1]
        daemon = self.twistd("--http", f"127.0.0.1:{port}", daemon=True)
        self.assertEqual(await daemon.ends(), 1)
        self.assertIn(f"127.0.0.1:{port}", daemon.said)
        self.assertFalse(os.path.exists(os.path.join(self.home, "pid")))
        await first.stop()

    async def test_failsLate(self) -> None:
        """
        An endpoint that fails once the reactor runs ends the program the same way.
        """
        script = (
            "from twisted.internet import reactor, task\n"
            "from twisted.application.twist._twist import Twist\n"
            "from twisted.logger import globalLogBeginner, textFileLogObserver\n"
            "from txh2session import Server\n"
            "from txh2session.tap import H2SessionService\n"
            "import sys\n"
            "class Place:\n"
            "    async def listen(self, server):\n"
            "        await task.deferLater(reactor, 0.1, lambda: 1 / 0)\n"
            "globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)\n"
            "service = H2SessionService(reactor, Server(lambda stream, headers: None), [Place()], 1)\n"
            "Twist.startService(reactor, service)\n"
            "reactor.run()\n"
        )
        program = self.start([sys.executable, "-c", script])
        self.assertEqual(await program.ends(), 1)
        self.assertEqual(program.said.count("h2session: division by zero"), 1)
        self.assertNotIn("Traceback", program.said)

    async def test_tlsEndpoint(self) -> None:
        """
        A TLS endpoint of Twisted's gets ALPN from our factory.
        """
        certificate, key = certificateFiles(os.path.join(self.home, "own"))
        program = self.twist("--listen", f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}")
        port = (await program.says(r"Serving ssl:.*port=(\d+)"))[1]
        trust = clientContextFactory(trustRoot=certificate)
        session = await self.connect(f"https://localhost:{port}", contextFactory=trust)
        self.assertEqual(session.alpnProtocol, "h2")
        self.assertEqual(await self.get(session, "/hello"), b"hello world\n")
        await program.stop()
        self.assertHealthy(program)

    async def test_expired(self) -> None:
        """
        An expired certificate is a warning in the log, and is served.
        """
        certificate, key = certificateFiles(os.path.join(self.home, "own"), days=-1)
        program = self.twist("--https", "0", "--certificate", certificate, "--private-key", key)
        await program.says(rf"#warn\] {certificate}: the certificate is valid from")
        url = await self.url(program, "https")
        session = await self.connect(url, contextFactory=clientContextFactory(verify=False))
        self.assertEqual(await self.get(session, "/hello"), b"hello world\n")
        await program.stop()
        self.assertHealthy(program)


def hasIPv6() -> bool:
    """
    Say whether this machine has an IPv6 loopback address.
    """
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
