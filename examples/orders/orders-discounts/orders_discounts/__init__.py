"""
Prices with a discount for large orders; installing it is enough.
"""

from __future__ import annotations

import attrs

from conductor import setting
from orders_workers import Pricing

__all__ = ["DiscountedPricing"]


class DiscountedPricing(Pricing):
    """
    The price list with a discount on large orders, rounded to the customer's favour.

    .. versionadded:: 0.1
    """

    percent: int = setting(
        default=10,
        validator=[attrs.validators.ge(0), attrs.validators.le(100)],
        help="percent that is taken off",
    )
    from_quantity: int = setting(
        default=10, validator=attrs.validators.ge(1), help="smallest quantity that gets the discount"
    )

    async def price(self, item: str, quantity: int) -> int:
        """
        What so many of an item cost, in cents.
        """
        full = await super().price(item, quantity)
        if quantity < self.from_quantity:
            return full
        return full * (100 - self.percent) // 100
