"""
Tests of the pricing that takes the place of the workers' own.
"""

from __future__ import annotations

import asyncio

import pytest

from orders_discounts import DiscountedPricing
from orders_workers import Pricing


@pytest.mark.parametrize(
    ("quantity", "total"),
    [(1, 333), (9, 2997), (10, 2997), (11, 3296), (1_000_000, 299_700_000)],
)
def test_large_orders_get_the_discount(quantity: int, total: int) -> None:
    """
    From ten on a tenth is taken off, and a fraction of a cent is the customer's.
    """
    pricing = DiscountedPricing(prices={"tea": 333})
    assert asyncio.run(pricing.price("tea", quantity)) == total


def test_it_can_stand_in_for_the_price_list() -> None:
    """
    It is a price list, so whoever needs one can be given it.
    """
    assert issubclass(DiscountedPricing, Pricing)
