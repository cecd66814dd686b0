"""A client of AxiManager that reads, or writes single words."""

from collections import defaultdict
from collections.abc import Callable
from random import Random

__all__ = ["Client"]


class Client:
    """One client's port: sends `waiting` requests, keeps what must come back by tag, checks each response."""

    def __init__(self, dut, prefix: str, rng: Random, patience: float) -> None:
        self.request = [getattr(dut, f"{prefix}__request__{name}") for name in ("valid", "ready", "payload")]
        self.response = [getattr(dut, f"{prefix}__response__{name}") for name in ("valid", "ready", "payload")]
        self.prefix, self.rng, self.patience = prefix, rng, patience
        self.waiting: list[dict[str, int]] = []
        self.expected: dict[int, list[dict[str, int]]] = defaultdict(list)
        self.sent = self.compared = 0
        self.offered = False
        self.request[0].value = 0
        self.response[1].value = 0

    @property
    def drained(self) -> bool:
        return not self.waiting and not any(self.expected.values())

    def drive(self, encode: Callable[[dict[str, int]], int]) -> None:
        # an offer stays until it is taken
        self.offered = bool(self.waiting) and (self.offered or self.rng.random() < self.patience)
        if self.offered:
            self.request[2].value = encode(self.waiting[0])
        self.request[0].value = self.offered
        self.response[1].value = self.rng.random() < self.patience

    def taken(self) -> dict[str, int] | None:
        """The request that is taken in this cycle."""
        if self.request[0].value and self.request[1].value:
            self.sent += 1
            self.offered = False
            return self.waiting.pop(0)
        return None

    def check(self, answer: dict[str, int]) -> None:
        assert self.expected[answer["tag"]], f"{self.prefix}: nobody asked for {answer}"
        wanted = self.expected[answer["tag"]].pop(0)
        if wanted["error"] and "data" in wanted:  # the data of a failed word mean nothing
            answer = answer | {"data": wanted["data"]}
        assert answer == wanted, f"{self.prefix}: got {answer}, expected {wanted}"
        self.compared += 1
