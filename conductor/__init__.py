"""
Conductor: a declarative plugin system and orchestrator for asynchronous Python applications.
"""

from ._component import Component, Secret, dependency, setting

__all__ = ["Component", "Secret", "dependency", "setting"]
