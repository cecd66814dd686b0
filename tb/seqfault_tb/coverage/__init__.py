"""Functional coverage: cover points declared beside the test plan, and the Watcher that samples them."""

from .points import BY_NAME, POINTS
from .sampler import Coverage

__all__ = ["BY_NAME", "POINTS", "Coverage"]
