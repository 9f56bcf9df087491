"""
Tests for L{txh2session.tls}: handshakes in memory, bad certificates and the development certificate.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from ipaddress import ip_address
from unittest import skipIf

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolNegotiationFactory,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    Certificate,
    VerificationError,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txh2session.errors import HTTP2Error
from txh2session.tls import (
    CertificateError,
    clientContextFactory,
    developmentCertificate,
    serverContextFactory,
)

DAY = timedelta(days=1)
NO_APPLICATION_PROTOCOL = bytes([21, 3, 3, 0, 2, 2, 120])
"""The alert record of RFC 7301 section 3.2, fatal, as it is before there are keys."""


class Made:
    """
    A certificate and its key, signed by another one or by itself.
    """

    def __init__(
        self,
        *names: str,
        key: CertificateIssuerPrivateKeyTypes | None = None,
        issuer: Made | None = None,
        ca: bool | None = None,
        begin: timedelta = -DAY,
        end: timedelta = DAY * 30,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        signer = issuer or self
        now = datetime.now(timezone.utc)
        public = self.key.public_key()
        self.certificate = (
            x509.CertificateBuilder(signer.name, self.name, public, x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + end)
            .add_extension(x509.SubjectAlternativeName(alternatives), False)
            .add_extension(x509.BasicConstraints(ca=issuer is None if ca is None else ca, path_length=None), True)
            .sign(signer.key, None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(Encoding.PEM)
        self.keyPEM = self.encodeKey(NoEncryption())

    def encodeKey(self, encryption: KeySerializationEncryption) -> bytes:
        """
        Write the key as PEM.
        """
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@lru_cache(None)
def authority() -> Made:
    """
    Make the authority that most of these tests trust.
    """
    return Made("authority.example")


@lru_cache(None)
def server() -> Made:
    """
    Make the certificate of the server, for its name and its addresses.
    """
    return Made("server.example", "192.0.2.1", "2001:db8::1", issuer=authority())


@lru_cache(None)
def rsaServer() -> Made:
    """
    Make a certificate of the server with an RSA key.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Made("server.example", key=key, issuer=authority())


class Ends(Protocol):
    """
    One end of a connection, which remembers what happened to it.
    """

    def __init__(self) -> None:
        self.received = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason


@implementer(IProtocolNegotiationFactory)
class NamingFactory(Factory):
    """
    A factory that says itself which protocols it speaks.
    """

    def __init__(self, *protocols: bytes) -> None:
        self.protocols = protocols

    def acceptableProtocols(self) -> list[bytes]:
        return list(self.protocols)


class Pair:
    """
    A TLS client and a TLS server that have shaken hands in memory, or failed to.

    @ivar fromServer: all bytes the server sent, before the client decrypted them.
    """

    def __init__(
        self,
        serverTLS: object,
        clientTLS: object,
        serverFactory: Factory | None = None,
        clientFactory: Factory | None = None,
    ) -> None:
        self.fromServer = b""
        self.server, self.serverWrapper, serverTransport = self._end(serverTLS, False, serverFactory or Factory())
        self.client, self.clientWrapper, clientTransport = self._end(clientTLS, True, clientFactory or Factory())
        self.serverWrapper.makeConnection(serverTransport)
        self.clientWrapper.makeConnection(clientTransport)
        self._transports = (clientTransport, serverTransport)
        self.pump()
        if not self._closed():
            self.clientWrapper.writeSequence([b"from client"])
            self.serverWrapper.writeSequence([b"from server"])
            self.pump()

    def _end(self, tls: object, isClient: bool, factory: Factory) -> tuple[Ends, TLSMemoryBIOProtocol, StringTransport]:
        application = Ends()
        factory.buildProtocol = lambda address: application  # type: ignore[method-assign]
        wrapping = TLSMemoryBIOFactory(tls, isClient, factory)
        wrapping.protocol = TLSMemoryBIOProtocol  # its writes are not put off to the next turn of a reactor
        return application, wrapping.buildProtocol(None), StringTransport()

    def _closed(self) -> bool:
        return any(transport.disconnecting or transport.disconnected for transport in self._transports)

    def pump(self) -> None:
        """
        Carry bytes to and fro until there are none, and then tell both ends if one has closed.
        """
        clientTransport, serverTransport = self._transports
        while clientTransport.value() or serverTransport.value():
            toServer, toClient = clientTransport.value(), serverTransport.value()
            clientTransport.clear()
            serverTransport.clear()
            self.fromServer += toClient
            if toServer:
                self.serverWrapper.dataReceived(toServer)
            if toClient:
                self.clientWrapper.dataReceived(toClient)
        if self._closed():
            for wrapper, end in ((self.serverWrapper, self.server), (self.clientWrapper, self.client)):
                if end.reason is None:
                    wrapper.connectionLost(Failure(ConnectionError("closed")))

    @property
    def works(self) -> bool:
        """
        Whether data went both ways.
        """
        return (self.server.received, self.client.received) == (b"from client", b"from server")


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class Raw:
    """
    The other end, when it is not ours: OpenSSL alone, with no more rules than it is told here.
    """

    def __init__(
        self,
        *protocols: bytes,
        made: Made | None = None,
        ciphers: str = "ALL",
        oldest: int = SSL.TLS1_VERSION,
        newest: int = SSL.TLS1_3_VERSION,
    ) -> None:
        self.names: list[bytes | None] = []
        self.protocols = protocols
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_cipher_list(ciphers.encode() + b":@SECLEVEL=0")
        self.context.set_min_proto_version(oldest)
        self.context.set_max_proto_version(newest)
        self.context.set_alpn_select_callback(lambda connection, offered: self._select(offered))
        self.context.set_tlsext_servername_callback(lambda connection: self.names.append(connection.get_servername()))
        if made is not None:
            self.context.use_certificate(X509.from_cryptography(made.certificate))
            self.context.use_privatekey(PKey.from_cryptography_key(made.key))

    def _select(self, offered: list[bytes]) -> bytes | object:
        self.offered = offered
        return next((each for each in self.protocols if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = SSL.Connection(self.context, None)
        if self.protocols:
            connection.set_alpn_protos(list(self.protocols))
        return connection

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self.context, None)


def ourServer(**arguments: object) -> object:
    """
    Make a server's context factory with the usual certificate.
    """
    return serverContextFactory(server().pem, server().keyPEM, **arguments)


def ourClient(host: bytes = b"server.example", **arguments: object) -> object:
    """
    Make a client's creator of connections that trusts the usual authority.
    """
    if arguments.get("verify", True):
        arguments.setdefault("trustRoot", authority().pem)
    return clientContextFactory(**arguments).creatorForNetloc(host, 443)


class ALPNTests(SynchronousTestCase):
    """
    Which protocol is chosen, and by whose word.
    """

    def test_both(self) -> None:
        """
        Our client and our server agree on h2 over TLS 1.3.
        """
        pair = Pair(ourServer(), ourClient())
        self.assertTrue(pair.works)
        self.assertEqual(pair.serverWrapper.negotiatedProtocol, b"h2")
        self.assertEqual(pair.clientWrapper.negotiatedProtocol, b"h2")
        self.assertEqual(pair.clientWrapper.getHandle().get_protocol_version_name(), "TLSv1.3")

    def test_factoriesSayIt(self) -> None:
        """
        What the factories above TLS name stands in place of what the context factories were told.
        """
        alone, both = NamingFactory(b"http/1.1"), NamingFactory(b"h2", b"http/1.1")
        pair = Pair(ourServer(), ourClient(), alone, both)
        self.assertTrue(pair.works)
        self.assertEqual(pair.serverWrapper.negotiatedProtocol, b"http/1.1")

    def test_orderOfTheServer(self) -> None:
        """
        The server's order decides, not the client's.
        """
        pair = Pair(ourServer(protocols=[b"h2", b"http/1.1"]), Raw(b"http/1.1", b"h2"))
        self.assertEqual(pair.serverWrapper.negotiatedProtocol, b"h2")

    def test_factoryNamesOnce(self) -> None:
        """
        A protocol that both the factory and the context factory name is offered once.
        """
        other = Raw(b"h2", made=server())
        Pair(other, ourClient(), None, NamingFactory(b"h2"))
        self.assertEqual(other.offered, [b"h2"])

    def test_factoriesShareContext(self) -> None:
        """
        One context factory serves several factories, each with the protocols it named.
        """
        shared = ourServer()
        for protocol in (b"http/1.1", b"h2", b"http/1.1"):
            pair = Pair(shared, Raw(b"h2", b"http/1.1"), NamingFactory(protocol))
            self.assertEqual(pair.serverWrapper.negotiatedProtocol, protocol)

    def test_clientWithout(self) -> None:
        """
        A client that knows no ALPN gets a connection without a protocol.
        """
        for factory in (None, NamingFactory(b"h2")):
            pair = Pair(ourServer(), Raw(), factory)
            self.assertTrue(pair.works)
            self.assertIsNone(pair.serverWrapper.negotiatedProtocol)

    def test_serverWithout(self) -> None:
        """
        A server that knows no ALPN gets a connection without a protocol.
        """
        pair = Pair(Raw(made=server()), ourClient())
        self.assertTrue(pair.works)
        self.assertIsNone(pair.clientWrapper.negotiatedProtocol)

    def test_nothingInCommon(self) -> None:
        """
        A client that offers other protocols only is refused with the alert C{no_application_protocol}.
        """
        for factory in (None, NamingFactory(b"h2")):
            pair = Pair(ourServer(), Raw(b"http/1.1"), factory)
            self.assertFalse(pair.works)
            assert pair.server.reason is not None
            pair.server.reason.trap(SSL.Error)
            if factory is not None and hasattr(TLSMemoryBIOFactory, "_applyProtocolNegotiation"):
                continue  # an old Twisted refuses too, but puts itself in our place and calls it an internal error
            self.assertEqual(pair.fromServer, NO_APPLICATION_PROTOCOL)
            self.assertIn("no application protocol", str(pair.server.reason.value))

    def test_afterRefusal(self) -> None:
        """
        The server that refused a client takes the next one.
        """
        shared = ourServer()
        Pair(shared, Raw(b"http/1.1"))
        self.assertTrue(Pair(shared, Raw(b"h2")).works)


class RulesTests(SynchronousTestCase):
    """
    RFC 9113 section 9.2: versions, cipher suites, renegotiation.
    """

    def test_allowed(self) -> None:
        """
        Over TLS 1.2 every suite we name is one of those left by RFC 9113, and each works from both sides.
        """
        for name in (
            "AES128-GCM-SHA256",
            "AES256-GCM-SHA384",
            "CHACHA20-POLY1305",
        ):
            for made, kind in ((server(), "ECDHE-ECDSA-"), (rsaServer(), "ECDHE-RSA-")):
                tls = serverContextFactory(made.pem, made.keyPEM)
                for pair in (
                    Pair(tls, Raw(b"h2", ciphers=kind + name, newest=SSL.TLS1_2_VERSION)),
                    Pair(Raw(b"h2", made=made, ciphers=kind + name, newest=SSL.TLS1_2_VERSION), ourClient()),
                ):
                    self.assertTrue(pair.works, kind + name)
                    self.assertEqual(pair.clientWrapper.getHandle().get_cipher_name(), kind + name)
                    self.assertEqual(pair.serverWrapper.negotiatedProtocol, b"h2")

    def test_prohibited(self) -> None:
        """
        No suite of RFC 9113 appendix A is negotiated, whether the client or the server would like it.
        """
        tls = serverContextFactory(rsaServer().pem, rsaServer().keyPEM)
        for cipher in ("ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384", "AES128-GCM-SHA256", "AES256-SHA"):
            other = {"ciphers": cipher, "newest": SSL.TLS1_2_VERSION}
            self.assertTrue(Pair(Raw(made=rsaServer(), **other), Raw(**other)).works, f"no test of {cipher}")
            self.assertFalse(Pair(tls, Raw(b"h2", **other)).works, cipher)
            self.assertFalse(Pair(Raw(b"h2", made=rsaServer(), **other), ourClient()).works, cipher)

    def test_onlyAllowedNames(self) -> None:
        """
        Nothing is in the list of a connection but TLS 1.3 and ephemeral keys with an AEAD.
        """
        pair = Pair(ourServer(), ourClient())
        for wrapper in (pair.serverWrapper, pair.clientWrapper):
            for name in wrapper.getHandle().get_cipher_list():
                self.assertRegex(name, "^(TLS_.*|ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305))$")

    def test_oldVersion(self) -> None:
        """
        TLS 1.1 is refused by both sides.
        """
        old = {"oldest": SSL.TLS1_1_VERSION, "newest": SSL.TLS1_1_VERSION}
        self.assertTrue(Pair(Raw(made=server(), **old), Raw(**old)).works, "no test of TLS 1.1")
        pair = Pair(ourServer(), Raw(b"h2", **old))
        self.assertFalse(pair.works)
        self.assertEqual(pair.fromServer[-2:], bytes([2, 70]), "the alert protocol_version")
        self.assertFalse(Pair(Raw(b"h2", made=server(), **old), ourClient()).works)

    def test_renegotiation(self) -> None:
        """
        Over TLS 1.2 neither side begins a new handshake.
        """
        both = {"newest": SSL.TLS1_2_VERSION}
        self.assertTrue(Pair(Raw(made=server(), **both), Raw(**both)).clientWrapper.getHandle().renegotiate())
        for ours in (
            Pair(ourServer(), Raw(b"h2", **both)).serverWrapper,
            Pair(Raw(b"h2", made=server(), **both), ourClient()).clientWrapper,
            Pair(Raw(b"h2", made=server(), **both), ourClient(verify=False)).clientWrapper,
        ):
            self.assertRaises(SSL.Error, ours.getHandle().renegotiate)


class VerificationTests(SynchronousTestCase):
    """
    Who is believed to be whom.
    """

    def assertRefused(self, pair: Pair, kind: type[Exception]) -> None:
        """
        Check that the client gave up, and why.
        """
        self.assertFalse(pair.works)
        self.assertEqual(pair.server.received, b"")
        assert pair.client.reason is not None
        self.assertIsInstance(pair.client.reason.value, kind)

    def test_policy(self) -> None:
        """
        A client's context factory is also what C{Agent} calls a policy.
        """
        verifyObject(IPolicyForHTTPS, clientContextFactory())
        verifyObject(IOpenSSLClientConnectionCreator, clientContextFactory().creatorForNetloc(b"a.example", 443))
        verifyObject(IOpenSSLServerConnectionCreator, ourServer())

    def test_wrongName(self) -> None:
        """
        A certificate for another name is refused.
        """
        self.assertRefused(Pair(ourServer(), ourClient(b"other.example")), VerificationError)

    def test_addresses(self) -> None:
        """
        An address is looked for in the certificate as an address, with or without brackets and zone.
        """
        for host in (b"192.0.2.1", b"2001:db8::1", b"[2001:db8::1]", b"2001:db8::1%eth0"):
            self.assertTrue(Pair(ourServer(), ourClient(host)).works, host)
        for host in (b"192.0.2.2", b"2001:db8::2"):
            self.assertRefused(Pair(ourServer(), ourClient(host)), VerificationError)

    def test_serverName(self) -> None:
        """
        The server is told the name it is wanted by, without a dot at its end, and never an address.
        """
        for arguments in ({}, {"verify": False}):
            for host, told in (
                (b"server.example", b"server.example"),
                (b"server.example.", b"server.example"),
                (b"192.0.2.1", None),
                (b"2001:db8::1", None),
            ):
                other = Raw(made=server())
                self.assertTrue(Pair(other, ourClient(host, **arguments)).works)
                self.assertEqual(other.names, [told])

    def test_untrusted(self) -> None:
        """
        By default the platform is asked, and it does not know our authority.
        """
        self.assertRefused(
            Pair(ourServer(), clientContextFactory().creatorForNetloc(b"server.example", 443)), SSL.Error
        )

    def test_otherAuthority(self) -> None:
        """
        An authority that did not sign the server's certificate is no help.
        """
        self.assertRefused(Pair(ourServer(), ourClient(trustRoot=Made("other.example").pem)), SSL.Error)

    def test_trustRoots(self) -> None:
        """
        A trust root is PEM, the path of a file, or an object of Twisted's.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"# a comment\n" + Made("other.example").pem + authority().pem)
        twisted = Certificate.loadPEM(authority().pem)
        for trustRoot in (
            authority().pem,
            authority().pem.decode(),
            path,
            twisted,
            trustRootFromCertificates([twisted]),
        ):
            self.assertTrue(Pair(ourServer(), ourClient(trustRoot=trustRoot)).works)

    def test_unverified(self) -> None:
        """
        C{verify=False} believes a stranger with another name.
        """
        pair = Pair(ourServer(), ourClient(b"other.example", verify=False))
        self.assertTrue(pair.works)
        self.assertEqual(pair.clientWrapper.negotiatedProtocol, b"h2")

    def test_contradictions(self) -> None:
        """
        Arguments that leave each other without a meaning are refused.
        """
        self.assertRaises(ValueError, clientContextFactory, verify=False, trustRoot=authority().pem)
        self.assertRaises(ValueError, clientContextFactory, privateKey=server().keyPEM)

    def test_contextsAreKept(self) -> None:
        """
        The trust of the platform is not loaded again for a host that was asked for before.
        """
        made: list[SSL.Context] = []
        policy = clientContextFactory(trustRoot=authority().pem)
        for _ in range(2):
            pair = Pair(ourServer(), policy.creatorForNetloc(b"server.example", 443))
            made.append(pair.clientWrapper.getHandle().get_context())
        self.assertIs(made[0], made[1])

    def test_chain(self) -> None:
        """
        The certificates that lead to the root are sent, whether they stand behind the first or in a file of their own.
        """
        middle = Made("middle.example", issuer=authority(), ca=True)
        leaf = Made("server.example", issuer=middle)
        self.assertRefused(Pair(serverContextFactory(leaf.pem, leaf.keyPEM), ourClient()), SSL.Error)
        for tls in (
            serverContextFactory(leaf.pem + middle.pem, leaf.keyPEM),
            serverContextFactory(leaf.pem, leaf.keyPEM, chain=middle.pem),
            serverContextFactory(leaf.keyPEM + leaf.pem + middle.pem),
        ):
            self.assertTrue(Pair(tls, ourClient()).works)


class ClientCertificateTests(SynchronousTestCase):
    """
    Mutual TLS.
    """

    def handshake(self, made: Made | None, verify: bool = True, **arguments: object) -> Pair:
        """
        Connect with a client certificate, or none, to a server that asks for one.
        """
        shown = {} if made is None else {"certificate": made.pem, "privateKey": made.keyPEM}
        return Pair(ourServer(clientCA=authority().pem, **arguments), ourClient(verify=verify, **shown))

    def test_shown(self) -> None:
        """
        The server sees the certificate of the client, which was told whom the server believes.
        """
        made = Made("client.example", issuer=authority())
        for verify in (True, False):
            pair = self.handshake(made, verify)
            self.assertTrue(pair.works)
            self.assertEqual(pair.serverWrapper.getPeerCertificate().to_cryptography(), made.certificate)
            names = pair.clientWrapper.getHandle().get_client_ca_list()
            self.assertEqual([name.CN for name in names], ["authority.example"])

    def test_required(self) -> None:
        """
        A client without a certificate, or with one from elsewhere, is refused.
        """
        self.assertFalse(self.handshake(None).works)
        self.assertFalse(self.handshake(Made("client.example")).works)

    def test_optional(self) -> None:
        """
        Where it is not required, a client may do without a certificate, but not show one from elsewhere.
        """
        pair = self.handshake(None, requireClientCertificate=False)
        self.assertTrue(pair.works)
        self.assertIsNone(pair.serverWrapper.getPeerCertificate())
        self.assertFalse(self.handshake(Made("client.example"), requireClientCertificate=False).works)

    def test_notAsked(self) -> None:
        """
        A server without C{clientCA} does not ask.
        """
        pair = Pair(ourServer(), ourClient(certificate=server().pem, privateKey=server().keyPEM))
        self.assertTrue(pair.works)
        self.assertIsNone(pair.serverWrapper.getPeerCertificate())


class BadInputTests(SynchronousTestCase):
    """
    What is refused, with which words.
    """

    def assertRefused(self, message: str, make: Callable[..., object], *arguments: object, **keywords: object) -> None:
        """
        Check the one line that is said.
        """
        error = self.assertRaises(CertificateError, make, *arguments, **keywords)
        self.assertIsInstance(error, HTTP2Error)
        self.assertEqual(str(error), message)

    def file(self, text: bytes) -> str:
        """
        Write a file and return its path.
        """
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(text)
        return path

    def test_unreadable(self) -> None:
        """
        A file that is not there, or is a folder, is named with the reason of the system.
        """
        self.assertRefused(
            "no-such.pem: cannot be read: No such file or directory",
            serverContextFactory,
            "no-such.pem",
            server().keyPEM,
        )
        folder = self.mktemp()
        os.mkdir(folder)
        self.assertRefused(f"{folder}: cannot be read: Is a directory", clientContextFactory, trustRoot=folder)

    def test_notPEM(self) -> None:
        """
        What is not PEM is named by its path, or by its role if it has none.
        """
        path = self.file(server().certificate.public_bytes(Encoding.DER))
        self.assertRefused(f"{path}: is not PEM", serverContextFactory, path, server().keyPEM)
        self.assertRefused("private key: is not PEM", serverContextFactory, server().pem, b"")
        self.assertRefused("client CA: is not PEM", ourServer, clientCA=b"")
        self.assertRefused("trust root: is not PEM", ourClient, trustRoot=b"x")
        self.assertRefused("chain: is not PEM", ourServer, chain=b"x")

    def test_missing(self) -> None:
        """
        PEM without a certificate, or without a key, is told as such.
        """
        path = self.file(server().keyPEM)
        self.assertRefused(f"{path}: has no certificate in it", serverContextFactory, path)
        path = self.file(server().pem)
        self.assertRefused(f"{path}: has no private key in it", serverContextFactory, path)

    def test_damaged(self) -> None:
        """
        A certificate or a key that cannot be parsed is told as such.
        """
        half = len(server().pem) // 2
        for text in (server().pem[:half], server().pem[:half] + server().pem[half + 8 :]):
            self.assertRefused(
                "certificate: has a damaged certificate in it", serverContextFactory, text, server().keyPEM
            )
        text = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        self.assertRefused(
            "private key: its private key is damaged or of a kind TLS cannot use",
            serverContextFactory,
            server().pem,
            text,
        )

    def test_mismatch(self) -> None:
        """
        A key that is not that of the certificate is refused, by servers and clients.
        """
        path = self.file(authority().keyPEM)
        message = f"{path}: its private key is not that of the certificate"
        self.assertRefused(message, serverContextFactory, server().pem, path)
        self.assertRefused(message, clientContextFactory, certificate=server().pem, privateKey=path)
        self.assertRefused(message, serverContextFactory, rsaServer().pem, path)

    def test_encrypted(self) -> None:
        """
        An encrypted key is refused, in either form it can have.
        """
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            text = server().key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
            path = self.file(text)
            self.assertRefused(f"{path}: its private key is encrypted", serverContextFactory, server().pem, path)

    def test_shortKey(self) -> None:
        """
        An RSA key of 1024 bits is refused.
        """
        short = Made("server.example", key=rsa.generate_private_key(public_exponent=65537, key_size=1024))
        self.assertRefused(
            "private key: its RSA key has 1024 bits, 2048 are the least to be safe",
            serverContextFactory,
            short.pem,
            short.keyPEM,
        )

    def test_refusedByOpenSSL(self) -> None:
        """
        What OpenSSL holds against a certificate is told in its words.
        """
        made = Made("server.example", key=ec.generate_private_key(ec.SECP192R1()))
        self.assertRefused("certificate: cannot be used: ee key too small", serverContextFactory, made.pem, made.keyPEM)

    def test_keyIsNotRepeated(self) -> None:
        """
        A key that is given as a string is read, and not taken for a path that an error would then repeat.
        """
        serverContextFactory(server().pem.decode(), server().keyPEM.decode())

    def test_otherCurves(self) -> None:
        """
        Keys on other curves serve as well.
        """
        for key in (
            ec.generate_private_key(ec.SECP384R1()),
            ec.generate_private_key(ec.SECP521R1()),
            ed25519.Ed25519PrivateKey.generate(),
        ):
            made = Made("server.example", key=key)
            tls = serverContextFactory(made.pem, made.keyPEM)
            self.assertTrue(Pair(tls, ourClient(trustRoot=made.pem)).works)


class DateTests(SynchronousTestCase):
    """
    Certificates that are out of date.
    """

    def warnings(self, make: Callable[[], object]) -> list[LogEvent]:
        """
        Collect what is logged meanwhile.
        """
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        make()
        globalLogPublisher.removeObserver(events.append)
        return events

    def test_outOfDate(self) -> None:
        """
        A certificate that expired, or is not valid yet, is used with one warning, by servers and clients.
        """
        for begin, end in ((-3 * DAY, -DAY), (DAY, 3 * DAY)):
            made = Made("server.example", issuer=authority(), begin=begin, end=end)
            for make in (
                lambda made=made: serverContextFactory(made.pem, made.keyPEM),
                lambda made=made: clientContextFactory(certificate=made.pem, privateKey=made.keyPEM),
            ):
                (event,) = self.warnings(make)
                self.assertEqual(event["log_level"], LogLevel.warn)
                self.assertIn("certificate: the certificate is valid from 2", formatEvent(event))
            self.assertFalse(Pair(serverContextFactory(made.pem, made.keyPEM), ourClient()).works)

    def test_inDate(self) -> None:
        """
        A certificate that is valid is used in silence.
        """
        self.assertEqual(self.warnings(ourServer), [])


class KeyLogTests(SynchronousTestCase):
    """
    The secrets, for those who ask for them.
    """

    def test_callable(self) -> None:
        """
        Both sides tell a callable the same lines, whether the client verifies or not.
        """
        for verify in (True, False):
            ours: list[bytes] = []
            theirs: list[bytes] = []
            pair = Pair(ourServer(keyLog=ours.append), ourClient(keyLog=theirs.append, verify=verify))
            self.assertTrue(pair.works)
            self.assertEqual(sorted(set(ours)), sorted(set(theirs)))
            self.assertTrue(all(line.endswith(b"\n") for line in ours))
            self.assertTrue(any(line.startswith(b"CLIENT_TRAFFIC_SECRET_0 ") for line in ours))

    def test_file(self) -> None:
        """
        A path gets the lines at the end of its file, which only its owner may read.
        """
        path = self.mktemp()
        tls = ourServer(keyLog=path)
        for _ in range(2):
            Pair(tls, ourClient())
        with open(path, "rb") as file:
            lines = file.read().splitlines()
        self.assertEqual(sum(line.startswith(b"CLIENT_TRAFFIC_SECRET_0 ") for line in lines), 2)
        if os.name == "posix":
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_fileThatCannotBe(self) -> None:
        """
        A path that cannot be written is an error at once.
        """
        self.assertRaises(OSError, ourServer, keyLog=os.path.join(self.mktemp(), "log"))

    def test_lines(self) -> None:
        """
        Each line of a file has the form that Wireshark reads: a label, the client's random bytes and a secret in hex.
        """
        path = self.mktemp()
        Pair(ourServer(keyLog=path), ourClient(keyLog=path))
        with open(path, "rb") as file:
            text = file.read()
        self.assertRegex(text, rb"\A([A-Z0-9_]+ [0-9a-f]{64} ([0-9a-f]{2}){32,64}\n){2,}\Z")

    def test_variable(self) -> None:
        """
        The file that C{SSLKEYLOGFILE} names is written when that is asked for, and never otherwise.
        """
        path = self.mktemp()
        self.patch(os, "environ", {**os.environ, "SSLKEYLOGFILE": path})
        for keyLog in (None, False):
            Pair(ourServer(keyLog=keyLog), ourClient(keyLog=keyLog))
            self.assertFalse(os.path.exists(path))
        Pair(ourServer(keyLog=True), ourClient())
        with open(path, "rb") as file:
            self.assertIn(b"CLIENT_TRAFFIC_SECRET_0 ", file.read())
        for nothing in ({"SSLKEYLOGFILE": ""}, {}):
            self.patch(os, "environ", nothing)
            self.assertTrue(Pair(ourServer(keyLog=True), ourClient(keyLog=True)).works)

    def test_otherFolder(self) -> None:
        """
        A relative path means the folder in which the factory was made, also when a daemon goes elsewhere.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        tls = ourServer(keyLog="keys")
        os.chdir(folder)
        Pair(tls, ourClient())
        self.assertFalse(os.path.exists("keys"))
        with open(os.path.join(before, "keys"), "rb") as file:
            self.assertNotEqual(file.read(), b"")
        os.remove(os.path.join(before, "keys"))

    def test_callableFails(self) -> None:
        """
        A callable that fails is logged once, and the connection goes on.
        """

        def fail(line: bytes) -> None:
            raise RuntimeError("no space")

        self.assertTrue(Pair(ourServer(keyLog=fail), ourClient()).works)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class DevelopmentCertificateTests(SynchronousTestCase):
    """
    L{developmentCertificate}.
    """

    def setUp(self) -> None:
        self.folder = self.mktemp()

    def read(self, path: str) -> bytes:
        """
        Read a file.
        """
        with open(path, "rb") as file:
            return file.read()

    def write(self, path: str, text: bytes) -> None:
        """
        Write to a file that is there, with the mode it has.
        """
        with open(path, "wb") as file:
            file.write(text)

    def assertGood(self) -> None:
        """
        Check that the files serve a handshake, and belong together.
        """
        paths = developmentCertificate(self.folder)
        for tls in (
            serverContextFactory(paths.privateKeyPath),
            serverContextFactory(paths.certificatePath, paths.privateKeyPath),
        ):
            policy = clientContextFactory(trustRoot=paths.certificatePath)
            self.assertTrue(Pair(tls, policy.creatorForNetloc(b"localhost", 443)).works)

    def test_handshake(self) -> None:
        """
        Clients that trust it accept it by its name and both addresses, ours and Twisted's, and by no other name.
        """
        paths = developmentCertificate(self.folder)
        tls = serverContextFactory(paths.privateKeyPath)
        policy = clientContextFactory(trustRoot=paths.certificatePath)
        trusted = Certificate.loadPEM(self.read(paths.certificatePath))
        for host in ("localhost", "127.0.0.1", "::1"):
            self.assertTrue(Pair(tls, policy.creatorForNetloc(host.encode(), 443)).works)
            self.assertTrue(Pair(tls, optionsForClientTLS(host, trustRoot=trusted)).works)
        self.assertFalse(Pair(tls, policy.creatorForNetloc(b"other.example", 443)).works)

    def test_noAuthority(self) -> None:
        """
        Who trusts it does not trust what its key has signed.
        """
        paths = developmentCertificate(self.folder)
        key = load_pem_private_key(self.read(paths.privateKeyPath).partition(b"-----BEGIN CERT")[0], None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        signed = Made("server.example", issuer=Made("localhost", key=key))
        tls = serverContextFactory(signed.pem + self.read(paths.certificatePath), signed.keyPEM)
        self.assertFalse(Pair(tls, ourClient(trustRoot=paths.certificatePath)).works)

    def test_files(self) -> None:
        """
        The public file has the certificate only, and nobody else may read the one with the key or look into the folder.
        """
        paths = developmentCertificate(self.folder)
        self.assertNotIn(b"PRIVATE", self.read(paths.certificatePath))
        self.assertTrue(self.read(paths.privateKeyPath).endswith(self.read(paths.certificatePath)))
        self.assertEqual(len(os.listdir(self.folder)), 2)
        self.assertTrue(os.path.isabs(paths.certificatePath))
        if os.name == "posix":
            self.assertEqual(stat.S_IMODE(os.stat(self.folder).st_mode), 0o700)
            self.assertEqual(stat.S_IMODE(os.stat(paths.privateKeyPath).st_mode), 0o600)

    def test_reuse(self) -> None:
        """
        The second call finds what the first made.
        """
        first = developmentCertificate(self.folder)
        before = self.read(first.privateKeyPath)
        self.assertEqual(developmentCertificate(self.folder), first)
        self.assertEqual(self.read(first.privateKeyPath), before)

    def test_renewal(self) -> None:
        """
        One that expired, or will within a day, or is not valid yet, is made anew; one with two days left is not.
        """
        paths = developmentCertificate(self.folder)
        for begin, end, kept in (
            (-DAY, -DAY / 2, False),
            (-DAY, DAY / 2, False),
            (DAY, DAY * 9, False),
            (-DAY, 2 * DAY, True),
        ):
            old = Made("localhost", begin=begin, end=end)
            self.write(paths.privateKeyPath, old.keyPEM + old.pem)
            self.write(paths.certificatePath, old.pem)
            self.assertGood()
            self.assertEqual(self.read(paths.certificatePath) == old.pem, kept)

    def test_damaged(self) -> None:
        """
        Files that are damaged, or do not belong together, are made anew.
        """
        paths = developmentCertificate(self.folder)
        good = self.read(paths.privateKeyPath)
        for text in (b"", good[: len(good) // 2], b"\0" * 100, authority().keyPEM + server().pem):
            self.write(paths.privateKeyPath, text)
            self.assertGood()
            self.assertNotEqual(self.read(paths.privateKeyPath), text)

    def test_publicFile(self) -> None:
        """
        The public file is written again from the other one, so that a server that runs keeps its clients.
        """
        paths = developmentCertificate(self.folder)
        public, private = self.read(paths.certificatePath), self.read(paths.privateKeyPath)
        self.write(paths.certificatePath, b"damaged")
        developmentCertificate(self.folder)
        self.assertEqual(self.read(paths.certificatePath), public)
        os.unlink(paths.certificatePath)
        developmentCertificate(self.folder)
        self.assertEqual(self.read(paths.certificatePath), public)
        self.assertEqual(self.read(paths.privateKeyPath), private)

    @skipIf(os.name != "posix", "modes are POSIX")
    def test_readByOthers(self) -> None:
        """
        A key that others could read is not used again.
        """
        paths = developmentCertificate(self.folder)
        before = self.read(paths.privateKeyPath)
        os.chmod(paths.privateKeyPath, 0o644)
        self.assertGood()
        self.assertNotEqual(self.read(paths.privateKeyPath), before)
        self.assertEqual(stat.S_IMODE(os.stat(paths.privateKeyPath).st_mode), 0o600)

    def test_unwritable(self) -> None:
        """
        A folder that cannot be is named, with the reason of the system.
        """
        with open(self.folder, "wb"):
            pass
        error = self.assertRaises(CertificateError, developmentCertificate, self.folder)
        self.assertEqual(
            str(error), f"{os.path.abspath(self.folder)}: cannot keep the development certificate: File exists"
        )

    def test_nothingLeftBehind(self) -> None:
        """
        A write that fails leaves no temporary file with a key in it.
        """
        paths = developmentCertificate(self.folder)
        os.unlink(paths.privateKeyPath)
        os.mkdir(paths.privateKeyPath)
        self.assertRaises(CertificateError, developmentCertificate, self.folder)
        self.assertEqual(len(os.listdir(self.folder)), 2)

    @skipIf(sys.platform == "win32", "Windows has no lock of this kind")
    def test_together(self) -> None:
        """
        Many that start at once in an empty folder all find the same pair.
        """

        def start(_: int) -> bytes:
            paths = developmentCertificate(self.folder)
            return self.read(paths.privateKeyPath) + self.read(paths.certificatePath)

        with ThreadPoolExecutor(8) as pool:
            self.assertEqual(len(set(pool.map(start, range(16)))), 1)
        self.assertGood()

    @skipIf(sys.platform in ("win32", "darwin"), "the cache folder is elsewhere there")
    def test_cacheFolder(self) -> None:
        """
        It is kept in C{XDG_CACHE_HOME}, or in C{.cache} at home if that is not an absolute path.
        """
        home, cache = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        self.patch(os, "environ", {"HOME": home, "XDG_CACHE_HOME": cache})
        self.assertEqual(os.path.dirname(developmentCertificate().privateKeyPath), os.path.join(cache, "txh2session"))
        for other in ("", "relative"):
            os.environ["XDG_CACHE_HOME"] = other
            self.assertEqual(
                os.path.dirname(developmentCertificate().privateKeyPath), os.path.join(home, ".cache", "txh2session")
            )
        os.environ["HOME"] = "nowhere"
        self.assertRaises(CertificateError, developmentCertificate)
