"""
What is used of wsproto, which is an extra: without it, this says which.
"""

try:
    from wsproto.connection import Connection, ConnectionState, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
    from wsproto.extensions import Extension
    from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits
except ImportError as error:
    raise ImportError(
        f"WebSockets need wsproto ({error}): pip install 'txh2session[websocket]'", name=error.name
    ) from error

__all__ = [
    "BytesMessage",
    "CloseConnection",
    "CloseReason",
    "Connection",
    "ConnectionState",
    "ConnectionType",
    "Extension",
    "FrameDecoder",
    "FrameProtocol",
    "Message",
    "Opcode",
    "Ping",
    "Pong",
    "RsvBits",
    "TextMessage",
]
