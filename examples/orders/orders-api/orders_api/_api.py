"""
The component ``orders-api``: orders over HTTP.
"""

from __future__ import annotations

import asyncio
import json

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conductor_db import Database
from conductor_mq import MessageQueue
from conductor_web import ASGIApplication, WebServer

from ._orders import InvalidOrderError, OrderBook, parse_order
from ._outbox import Outbox
from ._tables import metadata

HEALTH_LIMIT = 1.0  # seconds that each part has to say that it is well
LARGEST_BODY = 64 * 1024
STATUSES = ("received", "done")
DIGITS = 10  # of the longest number that a path or a query may hold


class OrdersAPI(WebServer):
    """
    Takes orders, tells how they are doing.

    ``POST /orders`` answers 201 when the order is stored, with the message for the workers in the same transaction.
    """

    db: Database
    queue: MessageQueue
    _book: OrderBook | None = None

    async def setup(self) -> None:
        """
        Create the tables, publish what an earlier life left, and listen.
        """
        async with self.db.begin() as connection:
            await connection.run_sync(metadata.create_all)
        outbox = Outbox(self.db, self.queue, self.logger)
        self._book = OrderBook(self.db, outbox)
        self.spawn(outbox.relay(), name="outbox relay")
        await super().setup()

    def application(self) -> ASGIApplication:
        """
        The routes.
        """
        routes = [
            Route("/orders", self._receive, methods=["POST"]),
            Route("/orders", self._list, methods=["GET"]),
            Route("/orders/{id}", self._show, methods=["GET"]),
            Route("/healthz", self._health, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _answer_error})

    @property
    def _orders(self) -> OrderBook:
        assert self._book is not None, "not set up"
        return self._book

    async def _receive(self, request: Request) -> Response:
        content = await _json(request)
        try:
            order = parse_order(content)
        except InvalidOrderError as error:
            return JSONResponse({"error": "this is no order", "problems": error.problems}, status_code=422)
        order_id = await self._orders.receive(order)
        location = {"location": f"/orders/{order_id}"}
        return JSONResponse({"id": order_id, "status": "received"}, status_code=201, headers=location)

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query["limit"], "limit") if "limit" in query else None
        after = _number(query.get("after", "0"), "after")
        status = query.get("status")
        if status not in (None, *STATUSES):
            raise HTTPException(400, f"'status' must be one of {', '.join(STATUSES)}")
        return JSONResponse(await self._orders.list(status=status, after=after, limit=limit))

    async def _show(self, request: Request) -> Response:
        text = request.path_params["id"]
        found = await self._orders.find(int(text)) if _is_number(text) else None
        if found is None:
            raise HTTPException(404, "there is no such order")
        return JSONResponse(found)

    async def _health(self, request: Request) -> Response:
        names = ("db", "mq")
        well = await asyncio.gather(*(self._is_well(part) for part in (self.db, self.queue)))
        checks = {name: "ok" if ok else "failing" for name, ok in zip(names, well, strict=True)}
        ok = all(well)
        return JSONResponse({"status": "ok" if ok else "failing", **checks}, status_code=200 if ok else 503)

    async def _is_well(self, part: Database | MessageQueue) -> bool:
        try:
            async with asyncio.timeout(HEALTH_LIMIT):
                await part.health()
        except Exception as error:
            self.logger.warning("%r is not well: %s", part, type(error).__name__)
            return False
        return True


async def _json(request: Request) -> object:
    """
    The body as a JSON value; too long a one is not read to its end.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"the body is longer than {LARGEST_BODY} bytes")
    try:
        content: object = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    return content


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS


def _number(text: str, name: str) -> int:
    if not _is_number(text):
        raise HTTPException(400, f"'{name}' must be a whole number")
    return int(text)


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)
