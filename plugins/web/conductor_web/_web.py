"""
A component that serves an ASGI application over HTTP.
"""

from __future__ import annotations

import attrs

from conductor import Component, setting

from ._asgi import ASGIApplication, Lifespan
from ._server import Listener, bind, is_wildcard, url_of


class WebServer(Component):
    """
    Serves an ASGI application with uvicorn, as a part of the application that Conductor runs.

    Subclass it, declare what the application needs, and give it in :meth:`application`.  Set-up is done when the
    socket listens.  Shutdown accepts no more, lets requests in flight end within ``drain`` seconds and closes the rest.

    A subclass with a ``setup`` or ``shutdown`` of its own calls ``await super().setup()`` last and
    ``await super().shutdown()`` first.

    .. versionadded:: 0.1
    """

    host: str = setting(default="127.0.0.1", help="address to listen on")
    port: int = setting(
        default=8000,
        validator=[attrs.validators.ge(0), attrs.validators.le(65535)],
        help="TCP port to listen on; 0 takes any free one",
    )
    drain: float = setting(
        default=5.0,
        validator=attrs.validators.ge(0),
        help="seconds that requests in flight get to end at shutdown",
    )
    access_log: bool = setting(default=False, help="log each request (logger 'uvicorn.access')")
    _listener: Listener | None = None
    _lifespan: Lifespan | None = None

    def application(self) -> ASGIApplication:
        """
        The ASGI application to serve; asked for once in each set-up.
        """
        raise NotImplementedError(f"{type(self).__qualname__}.application()")

    @property
    def url(self) -> str:
        """
        Where it is reached while it listens, with the real port: ``http://127.0.0.1:8000``.
        """
        if self._listener is None or self._listener.sock.fileno() == -1:
            raise RuntimeError("the server is not listening")
        return url_of(self._listener.sock)

    async def setup(self) -> None:
        """
        Bind, have the application begin, and listen.

        Raises:
            ListenError: the address cannot be listened on.
            ApplicationError: the application refused to begin.
        """
        if is_wildcard(self.host):
            self.logger.warning("'%s' is every address of this machine: whoever reaches it is served", self.host)
        application = self.application()
        sock = await bind(self.host, self.port)
        self.defer(sock.close)
        self._lifespan = Lifespan(application)
        self.defer(self._lifespan.cancel)
        await self._lifespan.begin()
        self._listener = Listener.make(sock, application, state=self._lifespan.state, access_log=self.access_log)
        self.defer(self._listener.cut_off)
        await self._listener.listen()
        self.spawn(self._listener.tick(), name="serve")
        self.logger.info("listening on %s", self.url)

    async def shutdown(self) -> None:
        """
        Accept no more, let what is in flight end, and have the application end.
        """
        if self._listener is not None:
            left = await self._listener.drain(self.drain)
            if left:
                self.logger.warning("cut off %d connections that did not end within %g s", left, self.drain)
        if self._lifespan is not None:
            await self._lifespan.end()
