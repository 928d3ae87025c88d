"""
Takes orders over HTTP, stores them and publishes them for whoever prices them.
"""

from ._api import OrdersAPI

__all__ = ["OrdersAPI"]
