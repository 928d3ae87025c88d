"""
The component ``orders-pricing``: what an order costs.  Another distribution can take its place.
"""

from __future__ import annotations

from conductor import Component, setting

PRICES = {"tea": 350, "coffee": 420, "cake": 580}


class Pricing(Component):
    """
    A price list; amounts are whole cents, so that sums are exact.

    .. versionadded:: 0.1
    """

    prices: dict[str, int] = setting(factory=PRICES.copy, help="cents for one of each item")
    other: int = setting(default=500, help="cents for one of an item that is not on the list")

    async def price(self, item: str, quantity: int) -> int:
        """
        What so many of an item cost, in cents.
        """
        return self.prices.get(item, self.other) * quantity
