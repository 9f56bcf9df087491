"""
Certificates and keys: read with errors of one line, checked before anybody serves with them, and one made to develop with.

L{txh2session.tls} makes context factories of them.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from OpenSSL.crypto import TYPE_RSA, X509, PKey
from twisted.internet.ssl import (
    AcceptableCiphers,
    CertificateOptions,
    TLSVersion,
)
from twisted.logger import Logger

from txh2session.errors import HTTP2Error

if sys.platform != "win32":
    import fcntl


PEM: TypeAlias = "bytes | str | os.PathLike[str]"
"""PEM text, or the path of a file that holds it."""

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
_LIFETIME = timedelta(days=365)
_RENEWED_BEFORE = timedelta(days=1)


class CertificateError(HTTP2Error, ValueError):
    """
    A certificate or a key that cannot be used.  The message is one line: which file (or argument), and what is wrong.
    """


class Source(NamedTuple):
    """
    PEM text, and what to call it in a message.
    """

    name: str
    text: bytes


def readPEM(given: PEM, role: str) -> Source:
    """
    Read the PEM text if it is in a file, and see that it is PEM.
    """
    if isinstance(given, str) and "-----BEGIN " in given:
        given = given.encode()  # taken for a path it would stand in an error message, and it may be a key
    if isinstance(given, bytes):
        source = Source(role, given)
    else:
        path = os.fspath(given)
        try:
            with open(path, "rb") as file:
                source = Source(path, file.read())
        except OSError as error:
            raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in source.text:
        raise CertificateError(f"{source.name}: is not PEM")
    return source


def certificatesIn(source: Source) -> list[X509]:
    """
    Parse the certificates, of which there must be one at least.
    """
    if b"CERTIFICATE-----" not in source.text:
        raise CertificateError(f"{source.name}: has no certificate in it")
    try:
        return [X509.from_cryptography(each) for each in x509.load_pem_x509_certificates(source.text)]
    except ValueError as error:
        raise CertificateError(f"{source.name}: has a damaged certificate in it") from error


def _privateKeyIn(source: Source) -> PKey:
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


def contextOptions() -> partial[CertificateOptions]:
    """
    Say what both roles want of L{CertificateOptions}.
    """
    return partial(CertificateOptions, acceptableCiphers=_CIPHERS, raiseMinimumTo=TLSVersion.TLSv1_2)


def certificateOptions(certificate: PEM, privateKey: PEM | None, chain: PEM | None) -> partial[CertificateOptions]:
    """
    Say it with a certificate to show, if nothing is wrong with that.
    """
    source = readPEM(certificate, "certificate")
    keySource = source if privateKey is None else readPEM(privateKey, "private key")
    leaf, *others = certificatesIn(source)
    key = _privateKeyIn(keySource)
    if not _belongTogether(leaf, key):
        raise CertificateError(f"{keySource.name}: its private key is not that of the certificate")
    if chain is not None:
        others += certificatesIn(readPEM(chain, "chain"))
    options = partial(contextOptions(), certificate=leaf, privateKey=key, extraCertChain=others)
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
        source = readPEM(path, "")
        certificate, key = certificatesIn(source)[0], _privateKeyIn(source)
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
