"""
A component for Conductor that serves an ASGI application with uvicorn; subclass it and give it the application.
"""

from ._asgi import ASGIApplication
from ._web import WebServer
from .exceptions import ApplicationError, ListenError

__all__ = ["ASGIApplication", "ApplicationError", "ListenError", "WebServer"]
