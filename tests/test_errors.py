"""
L{txh2session.errors}.
"""

from __future__ import annotations

import copy

from twisted.trial.unittest import SynchronousTestCase

from txh2session import errors
from txh2session.errors import (
    BodyTooLong,
    ConnectFailed,
    ErrorCode,
    HTTP2Error,
    Initiator,
    InvalidHeader,
    InvalidSetting,
    InvalidState,
    InvalidURL,
    LimitExceeded,
    PeerSpeaksOtherProtocol,
    PingCancelled,
    SessionError,
    SessionTimeout,
    StreamAborted,
    StreamError,
    StreamRefused,
    checkedCode,
    codeName,
    errorCode,
)


class ErrorCodeTests(SynchronousTestCase):
    """
    Codes and their names.
    """

    def test_values(self) -> None:
        """
        The codes are those of RFC 9113 section 7, 0 to 13 in its order.
        """
        names = (
            "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR"
            " REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
        )
        self.assertEqual(
            [(each.name, int(each)) for each in ErrorCode], list(zip(names.split(), range(14), strict=True))
        )

    def test_named(self) -> None:
        """
        A known number becomes its name, an unknown one stays a number.
        """
        self.assertIs(errorCode(8), ErrorCode.CANCEL)
        self.assertEqual(errorCode(0xFFFFFFFF), 0xFFFFFFFF)

    def test_spelled(self) -> None:
        """
        A message has the name and the number, or the number alone.
        """
        self.assertEqual(codeName(8), "CANCEL (8)")
        self.assertEqual(codeName(ErrorCode.CANCEL), "CANCEL (8)")
        self.assertEqual(codeName(77), "code 77")

    def test_checked(self) -> None:
        """
        A code an application gives is an unsigned integer of 32 bits.
        """
        self.assertIs(checkedCode(0), ErrorCode.NO_ERROR)
        self.assertIs(checkedCode(ErrorCode.CANCEL), ErrorCode.CANCEL)
        self.assertEqual(checkedCode(2**32 - 1), 2**32 - 1)
        for wrong in (-1, 2**32):
            self.assertRaises(ValueError, checkedCode, wrong)
        for wrong in (None, "8", 8.0, True):
            self.assertRaises(TypeError, checkedCode, wrong)


class TreeTests(SynchronousTestCase):
    """
    The tree drawn at the top of the module.
    """

    def test_parents(self) -> None:
        """
        Every class stands where the drawing says.
        """
        for child, parents in {
            InvalidState: (HTTP2Error, RuntimeError),
            InvalidHeader: (HTTP2Error, ValueError),
            InvalidSetting: (HTTP2Error, ValueError),
            InvalidURL: (HTTP2Error, ValueError),
            ConnectFailed: (HTTP2Error,),
            PingCancelled: (HTTP2Error,),
            BodyTooLong: (HTTP2Error,),
            SessionError: (HTTP2Error,),
            PeerSpeaksOtherProtocol: (SessionError,),
            SessionTimeout: (SessionError,),
            LimitExceeded: (SessionError,),
            StreamError: (HTTP2Error,),
            StreamAborted: (StreamError,),
            StreamRefused: (StreamError,),
        }.items():
            for parent in parents:
                self.assertTrue(issubclass(child, parent), (child, parent))
        self.assertFalse(issubclass(StreamError, SessionError))

    def test_drawn(self) -> None:
        """
        The drawing names every public exception there is.
        """
        assert errors.__doc__ is not None
        for name, value in vars(errors).items():
            if isinstance(value, type) and issubclass(value, Exception) and not name.startswith("_"):
                self.assertIn(name, errors.__doc__)


class FactsTests(SynchronousTestCase):
    """
    What the exceptions tell.
    """

    def test_defaults(self) -> None:
        """
        An error without facts is this side's INTERNAL_ERROR, and nobody knows whether the request was worked on.
        """
        for kind in (SessionError, StreamError, StreamAborted, StreamRefused, SessionTimeout, LimitExceeded):
            error = kind("text")
            self.assertEqual(str(error), "text")
            self.assertIs(error.code, ErrorCode.INTERNAL_ERROR)
            self.assertIs(error.initiator, Initiator.LOCAL)
            self.assertEqual((error.lastStreamID, error.debugData, error.processed), (None, b"", None))

    def test_facts(self) -> None:
        """
        Facts given are told, with the code named and the reason as the cause.
        """
        reason = ValueError("below")
        error = SessionError("text", 7, Initiator.PEER, lastStreamID=3, debugData=b"d", processed=False, reason=reason)
        self.assertIs(error.code, ErrorCode.REFUSED_STREAM)
        self.assertIs(error.initiator, Initiator.PEER)
        self.assertEqual((error.lastStreamID, error.debugData, error.processed), (3, b"d", False))
        self.assertIs(error.reason, reason)
        self.assertIs(error.__cause__, reason)
        self.assertEqual(SessionError("text", 77).code, 77)

    def test_connectFailed(self) -> None:
        """
        A failed connection tells its stage and reason, and that nothing was sent.
        """
        reason = OSError("refused")
        error = ConnectFailed("tcp", "nobody there", reason)
        self.assertEqual(str(error), "tcp: nobody there")
        self.assertEqual((error.stage, error.reason, error.processed), ("tcp", reason, False))
        self.assertIs(error.__cause__, reason)

    def test_stages(self) -> None:
        """
        What may come in place of L{ConnectFailed} has a stage too.
        """
        self.assertEqual(InvalidURL("x").stage, "url")
        self.assertEqual(PeerSpeaksOtherProtocol("x").stage, "h2")

    def test_copies(self) -> None:
        """
        Errors can be copied, and copies tell the same.
        """
        for error in (
            ConnectFailed("tls", "no"),
            StreamError("text", 8, Initiator.PEER, processed=True),
            InvalidURL("u"),
        ):
            twin = copy.copy(error)
            self.assertEqual(type(twin), type(error))
            self.assertEqual(str(twin), str(error))
            self.assertEqual(vars(twin), vars(error))
