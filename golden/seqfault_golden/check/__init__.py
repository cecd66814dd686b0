"""The checker of the engine's event stream: judges what the engine observed, and takes the protocol's steps on its own world."""

from .checker import Checker
from .state import Fault, State

__all__ = ["Checker", "Fault", "State"]
