"""
TLS for HTTP/2: context factories that keep the rules of RFC 9113 section 9.2, and a certificate to develop with.

A server gives what L{serverContextFactory} returns to its endpoint, a client what L{clientContextFactory} returns to
C{connect}.  Both speak TLS 1.2 or newer without compression, renegotiation or a cipher suite that RFC 9113 prohibits,
and choose the protocol by ALPN.  What is surely wrong is refused when the factory is made, with a L{CertificateError} of
one line; a certificate that is out of date is a warning in the log.

This module knows nothing of sessions, transports, clocks or the reactor.  The contexts come from
L{twisted.internet.ssl.CertificateOptions} and the host name checks from L{twisted.internet.ssl.optionsForClientTLS}; a
context built here from nothing would have to follow Twisted's security fixes by hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, TypeAlias

from OpenSSL import SSL
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolNegotiationFactory,
)
from twisted.internet.ssl import (
    Certificate,
    OpenSSLDefaultPaths,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from txh2session._certificates import (
    PEM,
    CertificateError,
    DevelopmentCertificate,
    certificateOptions,
    certificatesIn,
    contextOptions,
    developmentCertificate,
    readPEM,
)

if TYPE_CHECKING:
    from twisted.internet._sslverify import IOpenSSLTrustRoot
    from twisted.protocols.tls import TLSMemoryBIOProtocol

KeyLog: TypeAlias = "Callable[[bytes], object] | str | os.PathLike[str] | bool"
"""Who gets the secrets of each connection: a callable that takes a line, the path of a file to append it to, or C{True} for
the file that C{SSLKEYLOGFILE} names."""

_LogLine: TypeAlias = Callable[[SSL.Connection, bytes], None]
_Connector: TypeAlias = Callable[["TLSMemoryBIOProtocol"], SSL.Connection]

_log = Logger()

_REMEMBERED_HOSTS = 32
_KEY_LOG_VARIABLE = "SSLKEYLOGFILE"

__all__ = [
    "PEM",
    "CertificateError",
    "DevelopmentCertificate",
    "KeyLog",
    "clientContextFactory",
    "developmentCertificate",
    "serverContextFactory",
]


def serverContextFactory(
    certificate: PEM,
    privateKey: PEM | None = None,
    *,
    chain: PEM | None = None,
    protocols: Sequence[bytes] = (b"h2",),
    clientCA: PEM | None = None,
    requireClientCertificate: bool = True,
    keyLog: KeyLog | None = None,
) -> IOpenSSLServerConnectionCreator:
    """
    Make what a server endpoint wants as its TLS context factory.

    A client that offers only other protocols is refused with the alert C{no_application_protocol} (RFC 7301).  A client
    without ALPN gets its connection, with L{None} as the negotiated protocol.

    @param certificate: the certificate of the server first, then those that lead to its root, if any.
    @param privateKey: its key, not encrypted; L{None} if it stands beside the certificate.
    @param chain: more certificates to send after those.
    @param protocols: what to choose from, the best first.  A factory of protocols that provides
        L{IProtocolNegotiationFactory<twisted.internet.interfaces.IProtocolNegotiationFactory>} has the better word.
    @param clientCA: ask clients for a certificate, and accept those signed by one of these.
    @param requireClientCertificate: whether a client without one is refused; without C{clientCA} nobody is asked.
    @param keyLog: who is told the secrets of every connection, in the format that Wireshark reads.  B{Whoever has them can
        read the traffic.}  A callable takes each line, with its end; the file of a path gets it appended, and is made so
        that only its owner may read it; L{True} is the file that the environment variable C{SSLKEYLOGFILE} names, if it
        names one.  The variable counts only when it is asked for.  A line that cannot be written is lost, which the log
        says once.

    @raise CertificateError: if a certificate or the key cannot be used.
    @raise OSError: if the file of C{keyLog} cannot be written.
    """
    options = certificateOptions(certificate, privateKey, chain)
    authorities = [] if clientCA is None else certificatesIn(readPEM(clientCA, "client CA"))
    if authorities:
        options = partial(options, verify=True, caCerts=authorities, requireCertificate=requireClientCertificate)
    context = options().getContext()
    for authority in authorities:
        context.add_client_ca(authority)
    _prepare(context, _keyLogCallback(keyLog))
    return _ServerTLS(context, protocols)


def clientContextFactory(
    *,
    trustRoot: IOpenSSLTrustRoot | Certificate | PEM | None = None,
    certificate: PEM | None = None,
    privateKey: PEM | None = None,
    protocols: Sequence[bytes] = (b"h2",),
    verify: bool = True,
    keyLog: KeyLog | None = None,
) -> IPolicyForHTTPS:
    """
    Make what C{connect} wants as its context factory.  It is also a policy for L{twisted.web.client.Agent}, which needs
    C{protocols=[b"http/1.1"]} because it speaks nothing else.

    B{C{verify=False} takes away all protection}: any server, or anybody between here and there, passes for the one that
    was asked for.  It is for tests against self-signed servers, and C{trustRoot=} with their certificate is as easy.

    @param trustRoot: whose certificates to believe: certificates in PEM, or what
        L{optionsForClientTLS<twisted.internet.ssl.optionsForClientTLS>} takes; by default those the platform believes.
    @param certificate: the certificate to show to a server that asks for one, then those that lead to its root, if any.
    @param privateKey: its key, not encrypted; L{None} if it stands beside the certificate.
    @param protocols: what to offer, the best first; see L{serverContextFactory}.
    @param verify: whether to check that the server is who it should be, by its chain and its name or address.
    @param keyLog: see L{serverContextFactory}.

    @raise CertificateError: if a certificate or the key cannot be used.
    @raise ValueError: if one argument makes another meaningless.
    """
    if not verify and trustRoot is not None:
        raise ValueError("verify=False looks at no trustRoot: give one of the two")
    if privateKey is not None and certificate is None:
        raise ValueError("a privateKey needs its certificate")
    options = contextOptions() if certificate is None else certificateOptions(certificate, privateKey, None)
    logLine = _keyLogCallback(keyLog)
    if not verify:
        context = options().getContext()
        _prepare(context, logLine)
        return _ClientTLS(partial(_unverified, context), protocols)
    trust = _Trust(_trustRoot(trustRoot), logLine)

    def connectorFor(host: str) -> _Connector:
        creator = optionsForClientTLS(host, trustRoot=trust, extraCertificateOptions=dict(options.keywords))
        connector: _Connector = creator.clientConnectionForTLS
        return connector

    return _ClientTLS(connectorFor, protocols)


def _protocolsOf(tlsProtocol: TLSMemoryBIOProtocol, otherwise: Sequence[bytes]) -> list[bytes]:
    """
    Ask the factory above TLS which protocols it speaks.  Its word replaces ours: Twisted would add ours to it, and so
    promise a peer what nobody above speaks.
    """
    above = IProtocolNegotiationFactory(tlsProtocol.factory.wrappedFactory, None)
    return list((above and above.acceptableProtocols()) or otherwise)


@implementer(IOpenSSLServerConnectionCreator)
class _ServerTLS:
    """
    What L{serverContextFactory} returns.
    """

    def __init__(self, context: SSL.Context, protocols: Sequence[bytes]) -> None:
        self._context = context
        self._protocols = tuple(protocols)
        context.set_alpn_select_callback(self._select)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        return connection

    def _select(self, connection: SSL.Connection, offered: list[bytes]) -> bytes:
        """
        Choose by ALPN.  An exception is pyOpenSSL's only way to the alert that RFC 7301 section 3.2 asks for; this one
        has the form of an error of OpenSSL's, which is how Twisted expects a handshake to fail.
        """
        for protocol in _protocolsOf(connection.get_app_data(), self._protocols):
            if protocol in offered:
                return protocol
        raise SSL.Error([("SSL routines", "", "no application protocol")])


@implementer(IPolicyForHTTPS)
class _ClientTLS:
    """
    What L{clientContextFactory} returns.  A context with the trust of a platform takes 15 ms to make, so those of the
    hosts asked for last are kept.
    """

    def __init__(self, connectorFor: Callable[[str], _Connector], protocols: Sequence[bytes]) -> None:
        self._connectorFor = lru_cache(_REMEMBERED_HOSTS)(connectorFor)
        self._protocols = tuple(protocols)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        # Neither the brackets and the zone of an address nor the dot at the end of a name are part of a certificate.
        host = hostname.decode("ascii").removeprefix("[").removesuffix("]").removesuffix(".")
        return _OfferingTLS(self._connectorFor(host.partition("%")[0]), self._protocols)


@implementer(IOpenSSLClientConnectionCreator)
class _OfferingTLS:
    """
    Make connections that offer protocols by ALPN.
    """

    def __init__(self, connector: _Connector, protocols: Sequence[bytes]) -> None:
        self._connector = connector
        self._protocols = protocols

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._connector(tlsProtocol)
        if protocols := _protocolsOf(tlsProtocol, self._protocols):
            connection.set_alpn_protos(protocols)
        return connection


def _unverified(context: SSL.Context, host: str) -> _Connector:
    """
    Connect without looking at who answers.
    """

    def connect(tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(context, None)
        if not isIPAddress(host) and not isIPv6Address(host):  # RFC 6066 section 3: names only
            connection.set_tlsext_host_name(host.encode("idna"))
        return connection

    return connect


class _Trust(OpenSSLDefaultPaths):
    """
    A trust root that also prepares the contexts of L{optionsForClientTLS}: nobody else sees them while they are new,
    and pyOpenSSL deprecates changing them later.
    """

    def __init__(self, trustRoot: IOpenSSLTrustRoot, logLine: _LogLine | None) -> None:
        self._trustRoot = trustRoot
        self._logLine = logLine

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        self._trustRoot._addCACertsToContext(context)
        _prepare(context, self._logLine)


def _trustRoot(given: IOpenSSLTrustRoot | Certificate | PEM | None) -> IOpenSSLTrustRoot:
    """
    Make a trust root of whatever stands for one.
    """
    trustRoot: IOpenSSLTrustRoot
    if given is None:
        trustRoot = platformTrust()
    elif isinstance(given, Certificate):
        trustRoot = trustRootFromCertificates([given])
    elif isinstance(given, bytes | str | os.PathLike):
        certificates = certificatesIn(readPEM(given, "trust root"))
        trustRoot = trustRootFromCertificates([Certificate(each) for each in certificates])
    else:
        trustRoot = given
    return trustRoot


def _prepare(context: SSL.Context, logLine: _LogLine | None) -> None:
    """
    Set what L{CertificateOptions} has no argument for.
    """
    context.set_options(SSL.OP_NO_RENEGOTIATION)  # RFC 9113 section 9.2.1; compression is off already
    if logLine is not None:
        context.set_keylog_callback(logLine)


def _keyLogCallback(keyLog: KeyLog | None) -> _LogLine | None:
    """
    Make of a key log what pyOpenSSL wants.  A file is opened for each line, and so there is nothing to close.
    """
    if isinstance(keyLog, bool):
        keyLog = (keyLog and os.environ.get(_KEY_LOG_VARIABLE)) or None
    if keyLog is None:
        return None
    if callable(keyLog):
        write = keyLog
    else:
        write = partial(_append, os.path.abspath(keyLog))  # a daemon goes to another folder
        write(b"")  # a file that cannot be written raises its OSError here
    failed = False

    def logLine(connection: SSL.Connection, line: bytes) -> None:
        nonlocal failed
        try:
            write(line + b"\n")
        except Exception:
            if not failed:
                failed = True
                _log.failure("cannot write to the TLS key log")

    return logLine


def _append(path: str, text: bytes) -> None:
    """
    Add text to a file that only its owner may read.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
