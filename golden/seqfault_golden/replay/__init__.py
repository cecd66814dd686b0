"""The functional engine: fault contexts and a command unit that take the protocol's steps on memory as it is, one step group per turn."""

from .context import Context, Request
from .engine import Engine
from .outside import Outside
from .world import ReplayWorld

__all__ = ["Context", "Engine", "Outside", "ReplayWorld", "Request"]
