"""
Conductor: a declarative plugin system and orchestrator for asynchronous Python applications.

This is the public face.  Behind it, each module imports only from those before it:

====================  =====================================================================
``_path``             no working directory among the places that modules come from
``exceptions``        every error that Conductor raises
``lifecycle``         the states of a component, and the moves between them
``_component``        what a component is: Component, setting, dependency, Secret
``_declaration``      what a component class says about itself
``_sources``          where setting values come from
``_structure``        from what was given to typed values
``_settings``         what all sources say together
``_discovery``        what is installed; nothing is imported
``_selection``        who wins each name
``_resolution``       who provides what, with which settings
``_plan``             the dependency graph as a frozen value
``_report``           what happened, as a value
``hookspecs``         the hooks that a plugin may implement
``_runner``           set up concurrently, shut down in reverse
``_supervisor``       stay alive until asked to stop
``_conductor``        one application, from what is installed to its end
``_cli``              the ``conductor`` command
``testing``           what it takes to test components
====================  =====================================================================
"""

from . import _path as _path  # before the others: it says from where they may come
from ._component import Component, Secret, dependency, setting
from ._conductor import Conductor
from .exceptions import ConductorError
from .hookspecs import hookimpl

__all__ = ["Component", "Conductor", "ConductorError", "Secret", "dependency", "hookimpl", "setting"]
