"""
The application that C{twistd h2session} serves: a page, and routes that make a session do what a test of a client wants.

It is also the longest example of the package, and uses public names only.  L{Demo} is the application, C{routes} has a
function for each route, and C{request} is what those have in common.
"""

from txh2session.demo.routes import ROUTES, Demo

__all__ = ["ROUTES", "Demo"]
