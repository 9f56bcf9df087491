"""
C{twistd h2session} and C{python -m twisted h2session}: options, and the service made of them.

Whatever keeps it from serving ends the program with one line and an exit status that is not 0.  Signals drain: sessions
are told to go and have their open streams finished first, which is L{Server.close<txh2session.Server.close>}.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from OpenSSL import SSL
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IReactorCore,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from txh2session import (
    CertificateError,
    FrameLog,
    Server,
    Settings,
    Timeouts,
    developmentCertificate,
    serverContextFactory,
)
from txh2session._places import Address, AddressPlace, EndpointPlace, Place
from txh2session._roots import CannotFind, SiteOptions, makeSite
from txh2session.demo import Demo
from txh2session.web import wrapSite

_log = Logger()

_GRACE = 30.0
_KEY_LOG_VARIABLE = "SSLKEYLOGFILE"
_CERTIFIED = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})
"""The hosts for which a development certificate is good, at least where the log points."""


class CannotServe(SystemExit, Exception):
    """
    Ends the program with one line.

    As a C{SystemExit} it comes without a traceback.  As an C{Exception} it is noticed by C{twistd}, which then removes its
    PID file and tells the shell's process, for which it waits, that it failed.
    """

    def __init__(self, problem: object) -> None:
        super().__init__(f"h2session: {_oneLine(problem)}")


def _oneLine(problem: object) -> str:
    """
    Say what is wrong in one line, whatever said it.
    """
    return " ".join(str(problem).split()) or type(problem).__name__


# ---------------------------------------------------------------------------------------------------------------------
# Options


class Options(SiteOptions):
    """
    The options of C{twistd h2session}.
    """

    synopsis = "[options]"
    longdesc = (
        "Serve a demonstration of HTTP/2 sessions, or what --path, --class or --wsgi name, by default on "
        "https://localhost:8443 and http://localhost:8080. "
        "Given any of --https, --http and --listen, only what they name is served. "
        "It speaks HTTP/2, over TLS with ALPN and in clear text with prior knowledge; "
        "what is not the demonstration is there for HTTP/1.1 too."
    )
    optParameters = [
        ["https", None, None, "Serve TLS on [HOST:]PORT; HOST is localhost unless given, and port 0 is any free one."],
        ["http", None, None, "Serve clear text (h2c) on [HOST:]PORT."],
        [
            "certificate",
            None,
            None,
            "PEM file with the certificate for --https; a development certificate if not given.",
        ],
        ["private-key", None, None, "PEM file with its key; that of --certificate if not given."],
        ["idle-timeout", None, "60", "Seconds without a stream after which a session is closed; 0 for never."],
        ["max-concurrent-streams", None, "100", "Streams that a session may have open at once."],
        ["grace", None, f"{_GRACE:g}", "Seconds that open streams may take to finish after SIGTERM."],
        ["frame-log", None, None, "Append every frame to FILE; - is standard output. Bodies and secrets are left out."],
        ["frame-log-format", None, None, "lines (for people, if not given) or json (an object a line)."],
        [
            "key-log",
            None,
            None,
            "Append the secrets of --https to FILE, with which Wireshark can read it; "
            f"if not given, to the one that the environment variable {_KEY_LOG_VARIABLE} names.",
        ],
    ]
    optFlags = [
        ["frame-log-secrets", None, "Show the values of cookies and other secret header fields in the frame log."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """
        Serve on a Twisted endpoint, for example tcp:8080, unix:h2.sock or ssl:8443:privateKey=key.pem; may be repeated.
        """
        self["listen"].append(endpoint)

    def parseArgs(self, *arguments: str) -> None:
        """
        Refuse what is no option.
        """
        if arguments:
            raise UsageError(f"there are only options here, and {arguments[0]!r} is none")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line; what is wrong with it ends the program with one line, where Twisted's runners would print
        all the options there are.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            raise CannotServe(error) from error

    def postOptions(self) -> None:
        """
        Read the values.
        """
        super().postOptions()
        for name in ("https", "http"):
            if self[name] is not None:
                self[name] = _address(f"--{name}", self[name])
        if not (self["https"] or self["http"] or self["listen"]):
            self["https"] = Address("localhost", 8443)
            self["http"] = Address("localhost", 8080)
        if self["private-key"] is not None and self["certificate"] is None:
            raise UsageError("--private-key needs --certificate")
        if self["certificate"] is not None and self["https"] is None:
            raise UsageError("--certificate is for --https; an endpoint given to --listen names its own")
        if self["key-log"] is not None and self["https"] is None:
            raise UsageError("--key-log is for --https")
        if self["frame-log"] is None and (self["frame-log-format"] is not None or self["frame-log-secrets"]):
            raise UsageError("--frame-log-format and --frame-log-secrets need --frame-log")
        if self["frame-log-format"] not in (None, "lines", "json"):
            raise UsageError(f"--frame-log-format is lines or json, not {self['frame-log-format']!r}")
        for name in ("idle-timeout", "grace"):
            self[name] = _seconds(f"--{name}", self[name])
        streams = self["max-concurrent-streams"]
        self["max-concurrent-streams"] = _whole("--max-concurrent-streams", streams, 1, 2**32 - 1)


def _address(option: str, text: str) -> Address:
    """
    Read C{[HOST:]PORT}.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        host = "localhost"
    elif host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{option}: an IPv6 address stands in brackets, as in [::1]:8443, unlike {text!r}")
    if not host:
        raise UsageError(f"{option}: no host before the colon in {text!r}; 0.0.0.0 and [::] are all there are")
    return Address(host, _whole(f"{option}: the port", port, 0, 65535))


def _whole(option: str, text: str, low: int, high: int) -> int:
    """
    Read a whole number.
    """
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise UsageError(f"{option} is a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _seconds(option: str, text: str) -> float:
    """
    Read a duration.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{option} is a number of seconds from 0 up, not {text!r}")
    return seconds


# ---------------------------------------------------------------------------------------------------------------------
# The service


class H2SessionService(Service):
    """
    Serves while it is running.  C{stopService} drains.

    @ivar server: what it serves with.
    """

    def __init__(self, reactor: IReactorCore, server: Server, places: Sequence[Place], grace: float) -> None:
        self.server = server
        self._reactor = reactor
        self._places = places
        self._grace = grace
        self._listening: Deferred[None] | None = None

    def privilegedStartService(self) -> None:
        """
        Bind the ports while that is allowed.

        @raise CannotServe: if one cannot be bound.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """
        Serve.  C{python -m twisted} calls this alone, C{twistd} calls L{privilegedStartService} before.

        @raise CannotServe: if a port cannot be bound.
        """
        super().startService()
        if self._listening is None:
            self._listen()

    def stopService(self) -> Deferred[None]:
        """
        Take no new connections, and let the open streams finish.
        """
        super().stopService()
        if self._listening is not None:
            self._listening.cancel()
        return self.server.close(self._grace)

    def _listen(self) -> None:
        async def everywhere() -> None:
            for place in self._places:
                await place.listen(self.server)

        # Twisted's own endpoints have listened or failed when this returns.  Others take their time, and by then nobody
        # is left to raise an exception to.
        early: list[Failure] | None = []

        def failed(failure: Failure) -> None:
            if early is not None:
                early.append(failure)
            elif not failure.check(CancelledError):
                self._giveUp(failure)

        self._listening = Deferred.fromCoroutine(everywhere()).addErrback(failed)
        failures, early = early, None
        if failures:
            raise CannotServe(failures[0].value)

    def _giveUp(self, failure: Failure) -> None:
        """
        Stop the reactor, and have the program fail.
        """
        _log.critical("h2session: {problem}", problem=_oneLine(failure.value))
        atexit.register(_exitFailing)
        self._reactor.callWhenRunning(self._reactor.stop)


def _exitFailing() -> None:
    """
    Leave with a status that says so: neither of Twisted's runners has a way to ask for one.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def makeService(options: Options, reactor: Any = None) -> H2SessionService:
    """
    Make the service that the options describe; see L{IServiceMaker<twisted.application.service.IServiceMaker>}.

    @param reactor: what runs it; the one that Twisted has installed if not given.

    @raise CannotServe: if a certificate, a key, an endpoint or what is to be served cannot be used.
    """
    if reactor is None:
        from twisted.internet import reactor

    server = _server(options, reactor)
    places: list[Place] = []
    if options["https"] is not None:
        tls, trust = _tls(options["certificate"], options["private-key"], options["key-log"])
        if trust and options["https"].host not in _CERTIFIED:
            _log.warn(
                "The development certificate is for localhost: clients of {host} need another, see --certificate",
                host=options["https"].host,
            )
        places.append(AddressPlace(reactor, options["https"], tls, ["curl", "--http2", *trust]))
    if options["http"] is not None:
        places.append(AddressPlace(reactor, options["http"], None, ["curl", "--http2-prior-knowledge"]))
    places.extend(EndpointPlace(each, _endpoint(reactor, each)) for each in options["listen"])
    return H2SessionService(reactor, server, places, options["grace"])


def _server(options: Options, reactor: Any) -> Server:
    """
    Make the server of a site, or of the demonstration.
    """
    try:
        site = makeSite(options, reactor)
    except CannotFind as error:
        raise CannotServe(error) from error
    settings = Settings(maxConcurrentStreams=options["max-concurrent-streams"], enableConnectProtocol=site is None)
    timeouts = Timeouts(idle=options["idle-timeout"])
    frameLog = _frameLog(options)
    if site is not None:
        return wrapSite(site, settings=settings, timeouts=timeouts, frameLog=frameLog)
    return Server(Demo(reactor).streamReceived, settings=settings, timeouts=timeouts, frameLog=frameLog)


def _tls(
    certificate: str | None, privateKey: str | None, keyLog: str | None
) -> tuple[IOpenSSLServerConnectionCreator, list[str]]:
    """
    Make the context factory for C{--https}.

    @return: it, and what makes curl trust it.
    """
    path = keyLog or os.environ.get(_KEY_LOG_VARIABLE) or None
    trust = []
    try:
        if certificate is None:
            development = developmentCertificate()
            certificate, privateKey = development.privateKeyPath, None
            trust = ["--cacert", development.certificatePath]
        factory = serverContextFactory(certificate, privateKey, keyLog=path)
    except CertificateError as error:
        raise CannotServe(error) from error
    except OSError as error:
        raise CannotServe(f"{_KEY_LOG_VARIABLE if keyLog is None else '--key-log'} {path}: {error.strerror}") from error
    if path is not None:
        _log.warn("Secrets of TLS are appended to {path}: whoever reads it can read the traffic", path=path)
    return factory, trust


def _frameLog(options: Options) -> FrameLog | None:
    """
    Make the log of frames.  It is opened now, while paths are those of the command line, and standard output is what the
    user sees: later it is a part of Twisted's log, or nothing at all.
    """
    path = options["frame-log"]
    if path is None:
        return None
    file = sys.stdout
    if path != "-":
        try:
            file = open(path, "a", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600))
        except OSError as error:
            raise CannotServe(f"--frame-log {path}: {error.strerror}") from error
    return FrameLog(file, options["frame-log-format"] or "lines", secrets=bool(options["frame-log-secrets"]))


def _endpoint(reactor: object, description: str) -> IStreamServerEndpoint:
    """
    Make the endpoint that a string describes.
    """
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
        # A key that OpenSSL thinks too small is refused when the context is made, which otherwise is when the first client
        # connects: better now, where Twisted's own endpoint lets us at it.
        contextFactory = getattr(endpoint, "_sslContextFactory", None)
        if contextFactory is not None:
            contextFactory.getContext()
    except Exception as error:  # each kind of endpoint, plugins' included, has its own way to refuse a string
        raise CannotServe(f"--listen {description}: {_reason(error)}") from error
    return endpoint


def _reason(error: Exception) -> str:
    """
    Say what an exception means without what it says of others' insides: OpenSSL's list of errors, the name of the function
    that misses an argument.
    """
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return str(error.args[0][-1][-1])
    return re.sub(r"^\w+\(\) ", "", str(error)) or type(error).__name__
