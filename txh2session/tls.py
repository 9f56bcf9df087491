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
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from OpenSSL.crypto import TYPE_RSA, X509, PKey
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolNegotiationFactory,
)
from twisted.internet.ssl import (
    AcceptableCiphers,
    Certificate,
    CertificateOptions,
    OpenSSLDefaultPaths,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.logger import Logger
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from txh2session.errors import HTTP2Error

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from twisted.internet._sslverify import IOpenSSLTrustRoot
    from twisted.protocols.tls import TLSMemoryBIOProtocol

PEM: TypeAlias = "bytes | str | os.PathLike[str]"
"""PEM text, or the path of a file that holds it."""

KeyLog: TypeAlias = "Callable[[bytes], object] | str | os.PathLike[str]"
"""Who gets the secrets of each connection: a callable that takes a line, or the path of a file to append it to."""

_LogLine: TypeAlias = Callable[[SSL.Connection, bytes], None]
_Connector: TypeAlias = Callable[["TLSMemoryBIOProtocol"], SSL.Connection]

_log = Logger()

# RFC 9113 section 9.2.2 and appendix A leave TLS 1.2 the suites with an ephemeral key exchange and an AEAD; the second
# is the one every implementation must have.  The suites of TLS 1.3 are all good and are not listed here.
_CIPHERS = AcceptableCiphers.fromOpenSSLCipherString(
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
_LEAST_RSA_BITS = 2048
_REMEMBERED_HOSTS = 32
_LIFETIME = timedelta(days=365)
_RENEWED_BEFORE = timedelta(days=1)


class CertificateError(HTTP2Error, ValueError):
    """
    A certificate or a key that cannot be used.  The message is one line: which file (or argument), and what is wrong.
    """


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
    @param keyLog: who is told the secrets of every connection, in the format of C{SSLKEYLOGFILE}.  Whoever reads them
        can read the traffic.

    @raise CertificateError: if a certificate or the key cannot be used.
    """
    options = _certificateOptions(certificate, privateKey, chain)
    authorities = [] if clientCA is None else _certificatesIn(_source(clientCA, "client CA"))
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
    options = _options() if certificate is None else _certificateOptions(certificate, privateKey, None)
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
        certificates = _certificatesIn(_source(given, "trust root"))
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
    if keyLog is None:
        return None
    write = keyLog if callable(keyLog) else partial(_append, os.fspath(keyLog))
    if not callable(keyLog):
        write(b"")  # a file that cannot be written raises its OSError here

    def logLine(connection: SSL.Connection, line: bytes) -> None:
        try:
            write(line + b"\n")
        except Exception:
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


class _Source(NamedTuple):
    """
    PEM text, and what to call it in a message.
    """

    name: str
    text: bytes


def _source(given: PEM, role: str) -> _Source:
    """
    Read the PEM text if it is in a file, and see that it is PEM.
    """
    if isinstance(given, str) and "-----BEGIN " in given:
        given = given.encode()  # taken for a path it would stand in an error message, and it may be a key
    if isinstance(given, bytes):
        source = _Source(role, given)
    else:
        path = os.fspath(given)
        try:
            with open(path, "rb") as file:
                source = _Source(path, file.read())
        except OSError as error:
            raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in source.text:
        raise CertificateError(f"{source.name}: is not PEM")
    return source


def _certificatesIn(source: _Source) -> list[X509]:
    """
    Parse the certificates, of which there must be one at least.
    """
    if b"CERTIFICATE-----" not in source.text:
        raise CertificateError(f"{source.name}: has no certificate in it")
    try:
        return [X509.from_cryptography(each) for each in x509.load_pem_x509_certificates(source.text)]
    except ValueError as error:
        raise CertificateError(f"{source.name}: has a damaged certificate in it") from error


def _privateKeyIn(source: _Source) -> PKey:
    """
    Parse the private key.
    """
    found = _PRIVATE_KEY.search(source.text)
    if found is None:
        raise CertificateError(f"{source.name}: has no private key in it")
    if b"ENCRYPTED" in found.group():
        raise CertificateError(f"{source.name}: its private key is encrypted")
    try:
        key = PKey.from_cryptography_key(load_pem_private_key(found.group(), None))  # type: ignore[arg-type]
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{source.name}: its private key is damaged or of a kind TLS cannot use") from error
    if key.type() == TYPE_RSA and key.bits() < _LEAST_RSA_BITS:
        raise CertificateError(
            f"{source.name}: its RSA key has {key.bits()} bits, {_LEAST_RSA_BITS} are the least to be safe"
        )
    return key


def _belongTogether(certificate: X509, key: PKey) -> bool:
    """
    Say whether a private key is that of a certificate.
    """
    try:
        return certificate.to_cryptography().public_key() == key.to_cryptography_key().public_key()  # type: ignore[union-attr]
    except (ValueError, UnsupportedAlgorithm):
        return False


def _options() -> partial[CertificateOptions]:
    """
    Say what both roles want of L{CertificateOptions}.
    """
    return partial(CertificateOptions, acceptableCiphers=_CIPHERS, raiseMinimumTo=TLSVersion.TLSv1_2)


def _certificateOptions(certificate: PEM, privateKey: PEM | None, chain: PEM | None) -> partial[CertificateOptions]:
    """
    Say it with a certificate to show, if nothing is wrong with that.
    """
    source = _source(certificate, "certificate")
    keySource = source if privateKey is None else _source(privateKey, "private key")
    leaf, *others = _certificatesIn(source)
    key = _privateKeyIn(keySource)
    if not _belongTogether(leaf, key):
        raise CertificateError(f"{keySource.name}: its private key is not that of the certificate")
    if chain is not None:
        others += _certificatesIn(_source(chain, "chain"))
    options = partial(_options(), certificate=leaf, privateKey=key, extraCertChain=others)
    try:
        options().getContext()
    except SSL.Error as error:  # a weak signature, an odd curve
        reason = error.args[0][-1][-1] if error.args and error.args[0] else "OpenSSL says no more"
        raise CertificateError(f"{source.name}: cannot be used: {reason}") from error
    now, (begin, end) = datetime.now(timezone.utc), _validity(leaf)
    if not begin <= now < end:
        _log.warn(
            "{source}: the certificate is valid from {begin} to {end}, which is not now",
            source=source.name,
            begin=begin,
            end=end,
        )
    return options


def _validity(certificate: X509) -> tuple[datetime, datetime]:
    """
    Read from when and until when a certificate is valid.
    """
    parsed = certificate.to_cryptography()
    return parsed.not_valid_before_utc, parsed.not_valid_after_utc


@dataclass(frozen=True)
class DevelopmentCertificate:
    """
    Where L{developmentCertificate} keeps its files.

    @ivar certificatePath: the certificate alone, for clients: C{curl --cacert}, C{clientContextFactory(trustRoot=...)}.
    @ivar privateKeyPath: the key and the same certificate in one file, only for its owner:
        C{serverContextFactory(privateKeyPath)}.
    """

    certificatePath: str
    privateKeyPath: str


def developmentCertificate(directory: str | os.PathLike[str] | None = None) -> DevelopmentCertificate:
    """
    Find or make a certificate for C{localhost}, 127.0.0.1 and ::1, to develop with.

    It is signed with its own key and is no authority: who trusts it trusts this certificate only.  It is made anew a
    day before it expires, or when its files are damaged.

    @param directory: where to keep it; by default C{txh2session} in the user's cache folder.

    @raise CertificateError: if it cannot be kept there.
    """
    folder = _cacheFolder() if directory is None else os.path.abspath(directory)
    certificatePath, privateKeyPath = (os.path.join(folder, f"localhost-{what}.pem") for what in ("certificate", "key"))
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with _onlyOne(folder):
            certificate = _keptCertificate(privateKeyPath)
            if certificate is None:
                key, certificate = _selfSigned()
                _replaceFile(privateKeyPath, key + certificate, 0o600)
            if not _holds(certificatePath, certificate):
                _replaceFile(certificatePath, certificate, 0o644)
    except OSError as error:
        raise CertificateError(f"{folder}: cannot keep the development certificate: {error.strerror}") from error
    return DevelopmentCertificate(certificatePath, privateKeyPath)


def _cacheFolder() -> str:
    """
    Find the place for files that can be made again.
    """
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        cache = os.path.expanduser("~/Library/Caches")
    else:
        cache = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(cache):  # its specification: ignore it then
            cache = os.path.expanduser("~/.cache")
    if not os.path.isabs(cache):
        raise CertificateError("no home folder to keep the development certificate in: give a directory")
    return os.path.join(cache, "txh2session")


@contextmanager
def _onlyOne(folder: str) -> Iterator[None]:
    """
    Let one process at a time in, so that the two files always belong together.  Windows has no such lock, and there the
    file with the key, which is whole in itself, is right.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _keptCertificate(path: str) -> bytes | None:
    """
    Read the certificate beside the key, if both are good for another day and nobody else could read the key.
    """
    if os.name == "posix" and os.path.exists(path) and os.stat(path).st_mode & 0o077:
        return None
    try:
        source = _source(path, "")
        certificate, key = _certificatesIn(source)[0], _privateKeyIn(source)
    except CertificateError:
        return None
    begin, end = _validity(certificate)
    if not _belongTogether(certificate, key) or not begin <= datetime.now(timezone.utc) < end - _RENEWED_BEFORE:
        return None
    return certificate.to_cryptography().public_bytes(Encoding.PEM)


def _holds(path: str, text: bytes) -> bool:
    """
    Say whether a file has just this text.
    """
    try:
        with open(path, "rb") as file:
            return file.read() == text
    except OSError:
        return False


def _replaceFile(path: str, text: bytes, mode: int) -> None:
    """
    Write a file so that nobody ever sees half of it, nor any of it with another mode.
    """
    temporary = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _selfSigned() -> tuple[bytes, bytes]:
    """
    Make a key and its certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses = [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + _LIFETIME)
    for extension, critical in (
        (x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), False),
        # No authority: curl, Node and Twisted believe it all the same when told to, and a key that is stolen from here
        # is good for no other name.
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )
