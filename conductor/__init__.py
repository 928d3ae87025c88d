"""
Conductor: a declarative plugin system and orchestrator for asynchronous Python applications.

This is the public face.  Behind it, each module imports only from those before it:

====================  =====================================================================
``_path``             no working directory among the places that modules come from
``_text``             text from outside, made fit to show
``exceptions``        every error that Conductor raises
``lifecycle``         the states of a component, and the moves between them
``_component``        what a component is: Component, setting, dependency, Secret
``_declaration``      what a component class says about itself
``_contract``         whether one class can stand in for another
``_graph``            an order for a graph, or the cycles in the way
``_toml``             TOML that nobody vouches for
``_sources``          where setting values come from
``_types``            what a type says about its values, in words
``_scalars``          single values, read strictly
``_shape``            lists, tables and classes of values
``_settings``         what all sources say together
``_structure``        the settings of one component, typed and checked
``_discovery``        what is installed; nothing is imported
``_requirements``     whether distributions accept each other's versions
``_choice``           who takes a name, as a value
``_catalogue``        what has which name, before anybody takes a place
``_selection``        who wins each name
``_step``             one component of the plan, with all that was decided
``_inclusion``        which components are in, and why
``_binding``          who gets what, to a fixed point
``_resolution``       the parts of a plan: bound, configured, checked
``_plan``             the dependency graph as a frozen value
``_report``           what happened, as a value
``_diagnosis``        who waits for whom, as values
``hookspecs``         the hooks that a plugin may implement
``_log``              the log lines, made from hooks
``_status``           the socket at which a running application answers
``_suspension``       where a coroutine is suspended
``_watch``            one call into a component, watched
``_budget``           the time that a stop has
``_scope``            what a component registered to be undone
``_node``             what the runner keeps about one component
``_failures``         what went wrong, in order
``_engine``           set up concurrently, shut down in reverse
``_runner``           one life of one plan
``_health``           whether an application lives and is ready
``_heartbeat``        who blocks the event loop
``_notify``           tell systemd what happens
``_vitals``           what can be asked of an application while it lives
``_signals``          requests to stop from outside
``_dump``             what is written when SIGUSR1 asks
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
