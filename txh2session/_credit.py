"""
The credit a peer has for sending to us: the window of the connection, and how much of what came lies unread.

Connection window is given back as data arrives, not as it is read, so that a reader who stops holds one stream's window and
no other stream's.  Credit withheld per stream starved whole connections: four uploads at once stalled for good.  The price
is memory, which is bounded: while too much lies unread, the connection's window stays shut.
"""

from __future__ import annotations

from txh2session._limits import Account


class ConnectionCredit:
    """
    Counts what may be given back to the peer.

    @ivar window: the size of the connection's window.
    @ivar available: bytes the peer may still send.
    @ivar unread: bytes of bodies that came and that nobody has read.
    """

    def __init__(self, window: int, maxUnread: int, account: Account) -> None:
        self.window = window
        self.available = window
        self.unread = 0
        self._maxUnread = maxUnread
        self._account = account
        self._owed = 0

    def arrived(self, whole: int, body: int) -> bool:
        """
        Count a DATA frame.

        @param whole: its payload with padding, which is what windows count.
        @param body: its payload without.

        @return: whether the peer was allowed to send it (RFC 9113 section 6.9.1).
        """
        self.available -= whole
        self._owed += whole
        self.unread += body
        self._account.add(body)
        return self.available >= 0

    def read(self, size: int) -> None:
        """
        Count bytes that somebody read, or that nobody ever will.
        """
        self.unread -= size
        self._account.add(-size)

    def due(self) -> int:
        """
        Take out what should be given back now: all of it once it is half the window, unless too much lies unread.
        """
        if self._owed > 0 and self._owed * 2 >= self.window and self.unread <= self._maxUnread:
            return self._give()
        return 0

    def _give(self) -> int:
        due, self._owed = self._owed, 0
        self.available += due
        return due

    def resize(self, window: int) -> int:
        """
        Change the window's size.

        @return: what to give to the peer at once; a smaller window comes about by giving back less.
        """
        self._owed += window - self.window
        grown = window > self.window
        self.window = window
        return self._give() if grown and self._owed > 0 else 0
