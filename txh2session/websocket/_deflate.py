"""
Compression of WebSocket messages, C{permessage-deflate} (RFC 7692): what each side may ask for, what they agree on, and
L{MessageCodec}, which compresses and inflates.

wsproto's own extension inflates whatever a frame holds before anybody can count it, and forgets that a message is
compressed when a PING comes between two of its fragments.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from txh2session.errors import InvalidSetting
from txh2session.websocket._wsproto import CloseReason, Extension, FrameDecoder, FrameProtocol, Opcode, RsvBits

NAME: Final = "permessage-deflate"

_TAIL: Final = b"\x00\x00\xff\xff"
"""What a flush ends with, and a message goes without (RFC 7692 section 7.2.1)."""
_SMALLEST: Final = 9
"""zlib cannot compress with the window of 8 bits that RFC 7692 allows too."""
_LARGEST: Final = 15
_MEMORY: Final = 5
"""zlib's C{memLevel}: with a window of 12 bits, 32 KiB for each socket that has sent a message, instead of 256."""


@dataclass(frozen=True)
class Deflate:
    """
    What to ask for, or to allow, of compression.  A window of C{n} bits is of 2**n bytes: smaller ones need less memory,
    and compress less.

    @ivar serverMaxWindowBits: the server's window, 9 to 15.
    @ivar clientMaxWindowBits: the client's window, 9 to 15.
    @ivar serverNoContextTakeover: whether the server starts anew with each message.
    @ivar clientNoContextTakeover: whether the client does.
    @ivar threshold: bytes; shorter messages are sent as they are.
    """

    serverMaxWindowBits: int = 12
    clientMaxWindowBits: int = 12
    serverNoContextTakeover: bool = False
    clientNoContextTakeover: bool = False
    threshold: int = 64

    def __post_init__(self) -> None:
        """
        Check the numbers.

        @raise InvalidSetting: for one that is out of range.
        """
        for name, low, high in (
            ("serverMaxWindowBits", _SMALLEST, _LARGEST),
            ("clientMaxWindowBits", _SMALLEST, _LARGEST),
            ("threshold", 1, 2**31 - 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InvalidSetting(f"{name} is an integer from {low} to {high}, not {value!r}")


class Agreed(NamedTuple):
    """
    What was agreed on, as one side sees it.

    @ivar sendBits: the size of the window to compress with.
    @ivar sendAnew: whether to start anew with each message.
    @ivar receiveBits: the size of the peer's window.
    @ivar receiveAnew: whether the peer starts anew with each message.
    """

    sendBits: int
    sendAnew: bool
    receiveBits: int
    receiveAnew: bool


# ---------------------------------------------------------------------------------------------------------------------
# Agreeing

Parameters = Mapping[str, str | None]
"""An extension's parameters, by their names."""

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?')
_EXTENSION: Final = re.compile(rf"[ \t]*({_TOKEN})((?:{_PARAMETER.pattern})*)[ \t]*(?:,|$)")
_BITS: Final = re.compile("[89]|1[0-5]")


def parseExtensions(values: Iterable[str]) -> list[tuple[str, Parameters]]:
    """
    Read C{sec-websocket-extensions} (RFC 6455 section 9.1).

    @param values: the field's lines.

    @return: the extensions with their parameters, in their order.

    @raise ValueError: if that is not what stands there.
    """
    found = []
    for value in values:
        position = 0
        while position < len(value):
            extension = _EXTENSION.match(value, position)
            if extension is None:
                raise ValueError(f"no list of extensions: {value!r}")
            position = extension.end()
            found.append((extension[1], _parameters(extension[2])))
    return found


def _parameters(text: str) -> Parameters:
    """
    @raise ValueError: if there is one twice, or its value is no token inside its quotes.
    """
    parameters: dict[str, str | None] = {}
    for name, token, quoted in (found.groups() for found in _PARAMETER.finditer(text)):
        value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if name in parameters or (value is not None and not re.fullmatch(_TOKEN, value)):
            raise ValueError(f"what is said of {name} cannot be understood")
        parameters[name] = value
    return parameters


class _Asked(NamedTuple):
    """
    The parameters of an offer or an answer.
    """

    serverBits: int | None
    clientBits: int | None
    clientBitsKnown: bool
    serverAnew: bool
    clientAnew: bool


def _understand(parameters: Parameters) -> _Asked | None:
    """
    @return: L{None} for parameters that RFC 7692 section 7 does not know.
    """
    bits: dict[str, int | None] = {"server_max_window_bits": None, "client_max_window_bits": None}
    flags = {"server_no_context_takeover": False, "client_no_context_takeover": False}
    for name, value in parameters.items():
        if name in flags and value is None:
            flags[name] = True
        elif name in bits and value is not None and _BITS.fullmatch(value):
            bits[name] = int(value)
        elif not (name == "client_max_window_bits" and value is None):
            return None
    return _Asked(
        bits["server_max_window_bits"],
        bits["client_max_window_bits"],
        "client_max_window_bits" in parameters,
        flags["server_no_context_takeover"],
        flags["client_no_context_takeover"],
    )


def acceptDeflate(offers: Iterable[tuple[str, Parameters]], allowed: Deflate) -> tuple[str, Agreed] | None:
    """
    Choose from what a client offers.

    @return: the answer's C{sec-websocket-extensions} and what it means for the server, L{None} if nothing will do.
    """
    for name, parameters in offers:
        asked = _understand(parameters) if name == NAME else None
        if asked is None:
            continue
        serverBits = min(allowed.serverMaxWindowBits, asked.serverBits or _LARGEST)
        if serverBits < _SMALLEST:
            continue
        answer = [NAME]
        if serverBits < _LARGEST or asked.serverBits:
            answer.append(f"server_max_window_bits={serverBits}")
        clientBits = _LARGEST
        if asked.clientBitsKnown:
            clientBits = min(allowed.clientMaxWindowBits, asked.clientBits or _LARGEST)
            answer.append(f"client_max_window_bits={clientBits}")
        serverAnew = asked.serverAnew or allowed.serverNoContextTakeover
        clientAnew = asked.clientAnew or allowed.clientNoContextTakeover
        answer.extend(_flags(serverAnew, clientAnew))
        return "; ".join(answer), Agreed(serverBits, serverAnew, clientBits, clientAnew)
    return None


def offerDeflate(wanted: Deflate) -> str:
    """
    Write what a client offers.
    """
    offer = [NAME, f"client_max_window_bits={wanted.clientMaxWindowBits}"]
    if wanted.serverMaxWindowBits < _LARGEST:
        offer.append(f"server_max_window_bits={wanted.serverMaxWindowBits}")
    return "; ".join([*offer, *_flags(wanted.serverNoContextTakeover, wanted.clientNoContextTakeover)])


def _flags(server: bool, client: bool) -> list[str]:
    return ["server_no_context_takeover"] * server + ["client_no_context_takeover"] * client


def readDeflate(answer: list[tuple[str, Parameters]], offered: Deflate | None) -> Agreed | None:
    """
    Read what a server answered to an offer.

    A server that grants less than was asked for costs memory only, and is taken at its word.

    @return: what it means for the client, L{None} for no compression.

    @raise ValueError: for what was not offered (RFC 6455 section 4.1, RFC 7692 section 7.1).
    """
    if not answer:
        return None
    if offered is None or len(answer) > 1 or answer[0][0] != NAME:
        raise ValueError("the server chose extensions that were not offered")
    agreed = _understand(answer[0][1])
    if agreed is None or (agreed.clientBitsKnown and agreed.clientBits is None):
        raise ValueError(f"the server's parameters of {NAME} cannot be understood")
    serverBits = agreed.serverBits or _LARGEST
    clientBits = agreed.clientBits or offered.clientMaxWindowBits
    if (agreed.serverBits or 0) > offered.serverMaxWindowBits or clientBits > offered.clientMaxWindowBits:
        raise ValueError(f"the server's windows for {NAME} are larger than what was offered")
    return Agreed(clientBits, agreed.clientAnew or offered.clientNoContextTakeover, serverBits, agreed.serverAnew)


# ---------------------------------------------------------------------------------------------------------------------
# Doing


class MessageCodec(Extension):
    """
    What wsproto asks about each frame: keeps messages to a size, before they are received where their frames say so, and as
    they are inflated; and compresses and inflates, if that was agreed on.

    @ivar refusal: why it has refused a frame, empty before.
    """

    name = NAME

    def __init__(self, limit: int, agreed: Agreed | None, threshold: int) -> None:
        """
        @param limit: bytes of a message, inflated.
        @param threshold: bytes; shorter messages are not compressed.
        """
        self.refusal = ""
        self._limit = limit
        self._agreed = agreed
        self._threshold = threshold
        self._inflater: zlib._Decompress | None = None
        self._deflater: zlib._Compress | None = None
        self._size = 0
        self._control = False
        self._inflating = False
        self._deflating = False

    def enabled(self) -> bool:
        """See L{Extension}."""
        return True

    def offer(self) -> bool | str:
        """See L{Extension}.  The handshake is not wsproto's."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """See L{Extension}.  It comes again if the mask has not arrived yet."""
        self._control = opcode.iscontrol()
        compressible = self._agreed is not None and not self._control and opcode is not Opcode.CONTINUATION
        if rsv.rsv1 and not compressible:
            self.refusal = "a frame is marked as compressed that cannot be"
            return CloseReason.PROTOCOL_ERROR
        if not self._control:
            if opcode is not Opcode.CONTINUATION:
                self._inflating = rsv.rsv1
            if not self._inflating and self._size + payload_length > self._limit:
                return self._tooBig()
        return RsvBits(rsv.rsv1, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """See L{Extension}."""
        if self._control:
            return data
        if self._inflating:
            return self._inflate(data)
        self._size += len(data)
        return data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """See L{Extension}."""
        if self._control or not fin:
            return None
        last = self._inflate(_TAIL) if self._inflating else None
        self._size = 0
        if self._agreed is not None and self._agreed.receiveAnew:
            self._inflater = None
        return last

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        """
        Inflate no further than the limit.
        """
        assert self._agreed is not None
        inflated = b""
        try:
            while True:
                if self._inflater is None:
                    self._inflater = zlib.decompressobj(-self._agreed.receiveBits)
                part = self._inflater.decompress(data, self._limit - self._size + 1)
                inflated += part
                self._size += len(part)
                if self._size > self._limit:
                    return self._tooBig()
                if not self._inflater.eof:
                    return inflated
                # A last block, where others flush (RFC 7692 section 7.2.3.4).
                data, self._inflater = self._inflater.unused_data, None
        except zlib.error:
            self.refusal = "a message cannot be inflated"
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA

    def _tooBig(self) -> CloseReason:
        self.refusal = f"a message has more than {self._limit} bytes"
        return CloseReason.MESSAGE_TOO_BIG

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """See L{Extension}."""
        agreed = self._agreed
        if agreed is None or opcode.iscontrol():
            return rsv, data
        first = opcode is not Opcode.CONTINUATION
        if first:
            long = len(data) >= self._threshold or not fin
            self._deflating = long and agreed.sendBits >= _SMALLEST
        if not self._deflating:
            return rsv, data
        if self._deflater is None:
            self._deflater = zlib.compressobj(wbits=-agreed.sendBits, memLevel=_MEMORY)
        data = self._deflater.compress(data)
        if fin:
            # zlib flushes nothing where nothing came since the last time, and a message is never empty.
            data = (data + self._deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL) or b"\x00"
            if agreed.sendAnew:
                self._deflater = None
        return RsvBits(first, False, False), data
