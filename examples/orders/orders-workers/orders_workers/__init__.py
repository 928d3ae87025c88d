"""
Prices orders in the background.
"""

from ._pricing import Pricing
from ._workers import OrdersWorkers

__all__ = ["OrdersWorkers", "Pricing"]
