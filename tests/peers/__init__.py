"""
Tests against real peers, each a process of its own: curl, nghttp, nghttpd, h2load and Node.

C{programs} finds them and runs them, C{case} has the test cases that the modules share.
"""
