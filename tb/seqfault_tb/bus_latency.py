"""How long memory takes, as the engine's AXI port sees it."""

from collections import defaultdict, deque

from cocotb.handle import SimHandleBase

__all__ = ["BusLatency"]


class BusLatency:
    """Call `sample` once a cycle when all signals have settled.

    Attributes
    ----------
    longest : cycles from an address's handshake to the last word, or to the response of the write, the longest so far.
    """

    def __init__(self, dut: SimHandleBase, prefix: str) -> None:
        self._pin = lambda name: getattr(dut, f"{prefix}__{name}")
        self._under_way: dict[str, dict[int, deque[int]]] = {"r": defaultdict(deque), "b": defaultdict(deque)}
        self._cycle = self.longest = 0

    def sample(self) -> None:
        """This cycle's handshakes."""
        self._cycle += 1
        for address, response in (("ar", "r"), ("aw", "b")):
            if self._pin(f"{address}valid").value and self._pin(f"{address}ready").value:
                self._under_way[response][int(self._pin(f"{address}id").value)].append(self._cycle)
            taken = self._pin(f"{response}valid").value and self._pin(f"{response}ready").value
            if taken and (response == "b" or self._pin("rlast").value):
                since = self._under_way[response][int(self._pin(f"{response}id").value)].popleft()
                self.longest = max(self.longest, self._cycle - since)
