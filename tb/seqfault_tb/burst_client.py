"""The client of AxiManager that writes bursts: its traffic, its driver, and what must come back."""

from collections import defaultdict, deque
from random import Random
from typing import Any

from seqfault_rtl.memory_bursts import MemoryBurstRequest
from seqfault_rtl.messages import MemoryWriteResponse

from .fields import pack, unpack
from .memory_ports import PAGE_BYTES, WORD_BYTES

__all__ = ["BurstClient"]

LENGTHS = (1, 2, 3, 8, 8, 16)
PAGE_WORDS = PAGE_BYTES // WORD_BYTES


class BurstClient:
    """Offers requests and their words independently of each other, also the words first or late.

    Parameters
    ----------
    patience : probability that something is offered, and that an answer is taken, in a cycle.

    Members
    -------
    sent, words_sent : requests and words taken. compared : answers checked.
    """

    def __init__(self, dut: Any, prefix: str, rng: Random, patience: float) -> None:
        self._request, self._data, self._response = (
            [getattr(dut, f"{prefix}__{name}__{wire}") for wire in ("valid", "ready", "payload")] for name in ("request", "data", "response")
        )
        self.prefix, self.rng, self.patience = prefix, rng, patience
        self.waiting: deque[dict[str, Any]] = deque()
        self._words: deque[int] = deque()
        self._unbacked = 0
        self._offered = [False, False]
        self._expected: dict[int, list[dict[str, int]]] = defaultdict(list)
        self.sent = self.words_sent = self.compared = 0
        self._request[0].value = self._data[0].value = self._response[1].value = 0

    @property
    def expected(self) -> dict[int, list[dict[str, int]]]:
        return self._expected

    @property
    def drained(self) -> bool:
        return not self.waiting and not self._words and not any(self._expected.values())

    def add(self, address: int, words: list[int], tag: int) -> None:
        """A burst to write."""
        self.waiting.append({"addr": address, "words": words, "tag": tag})
        self._words += words

    def traffic(self, count: int, base: int, pages: int, tags: int) -> None:
        """Bursts that overlap none of each other, some up to the end of a page, in a random order."""
        spans: list[tuple[int, int]] = []
        for page in range(pages):
            first = 0
            while first < PAGE_WORDS:
                length = min(self.rng.choice(LENGTHS), PAGE_WORDS - first)
                spans.append((base + page * PAGE_BYTES + first * WORD_BYTES, length))
                first += length
        self.rng.shuffle(spans)
        ends = [span for span in spans if (span[0] + span[1] * WORD_BYTES) % PAGE_BYTES == 0]
        for address, length in (ends + [span for span in spans if span not in ends])[:count]:
            self.add(address, [self.rng.getrandbits(64) for _ in range(length)], self.rng.randrange(tags))

    def drive(self) -> None:
        # an offer stays until it is taken
        self._offered = [
            bool(items) and (offered or self.rng.random() < self.patience)
            for offered, items in zip(self._offered, (self.waiting, self._words), strict=True)
        ]
        self._request[0].value, self._data[0].value = self._offered
        if self._offered[0]:
            self._request[2].value = self._encode(self.waiting[0])
        if self._offered[1]:
            self._data[2].value = self._words[0]
        self._response[1].value = self.rng.random() < self.patience

    @staticmethod
    def _encode(burst: dict[str, Any]) -> int:
        return pack(MemoryBurstRequest, {"addr": burst["addr"], "beats": len(burst["words"]) - 1, "tag": burst["tag"]})

    def sample(self, failing: set[int]) -> dict[int, int]:
        """Check this cycle's handshakes; the words, by address, that the memory must hold because of them."""
        if self._response[0].value and self._response[1].value:
            answer = unpack(MemoryWriteResponse, int(self._response[2].value))
            assert self._expected[answer["tag"]], f"{self.prefix}: nobody asked for {answer}"
            wanted = self._expected[answer["tag"]].pop(0)
            assert answer == wanted, f"{self.prefix}: got {answer}, expected {wanted}"
            self.compared += 1
        written: dict[int, int] = {}
        if self._request[0].value and self._request[1].value:
            burst = self.waiting.popleft()
            self._offered[0] = False
            self.sent += 1
            words = {burst["addr"] + WORD_BYTES * beat: word for beat, word in enumerate(burst["words"])}
            written = {address: word for address, word in words.items() if address not in failing}
            self._expected[burst["tag"]].append({"tag": burst["tag"], "error": int(len(written) < len(words)), "exclusive": 0})
            self._unbacked += len(words)
        if self._data[0].value and self._data[1].value:
            assert self._unbacked, f"{self.prefix}: a word was taken before its request"
            self._words.popleft()
            self._offered[1] = False
            self._unbacked -= 1
            self.words_sent += 1
        return written
