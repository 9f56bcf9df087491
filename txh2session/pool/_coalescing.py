"""
Whether a session with one server may carry the requests for another name (RFC 9113 section 9.1.1, RFC 8336).

Three have to agree: the server's certificate has the name, the name leads to the address the session is connected to, and
the server, if it sent an ORIGIN frame, has named the origin.
"""

from __future__ import annotations

from typing import Any

from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from txh2session._origins import WebURL
from txh2session.client import ClientSession


def mayCarry(session: ClientSession, origin: WebURL, originsNamed: bool) -> bool:
    """
    Whether certificate, port and ORIGIN allow it, the address left aside.

    @param originsNamed: whether the server has sent an ORIGIN frame.
    """
    if origin.scheme != "https" or not session.encrypted or session.closed:
        return False
    if (
        getattr(session.getPeer(), "port", None) != origin.port
        or isIPAddress(origin.host)
        or isIPv6Address(origin.host)
    ):
        return False
    if originsNamed and f"{origin.scheme}://{origin.authority}" not in (session.originSet or ()):
        return False
    return certificateCovers(session.peerCertificate, origin.host)


def certificateCovers(certificate: Any, host: str) -> bool:
    """
    Whether a certificate is for a name.
    """
    if certificate is None:
        return False
    try:
        verify_certificate_hostname(certificate.to_cryptography(), host)
    except (CertificateError, VerificationError, ValueError):
        return False
    return True


@implementer(IResolutionReceiver)
class _Addresses:
    """
    Collects what a name leads to.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.complete: Deferred[set[str]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See L{IResolutionReceiver}."""

    def addressResolved(self, address: IAddress) -> None:
        """See L{IResolutionReceiver}."""
        self.found.add(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """See L{IResolutionReceiver}."""
        self.complete.callback(self.found)


def addressesOf(reactor: Any, host: str) -> Deferred[set[str]]:
    """
    Ask which addresses a name has.
    """
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host)
    return receiver.complete
