"""The memory of `seqfault run` (C++, called once a cycle) without an engine: bursts of both directions, errors, order; and planted bugs."""

import ctypes
import re
import subprocess
from collections import deque
from pathlib import Path
from random import Random

import pytest

import seqfault_tb
from seqfault.doctor import compiler_command
from seqfault_rtl.config import PRESETS
from seqfault_tb.harness_top import harness_files

SOURCE = Path(seqfault_tb.__file__).parent / "harness" / "seqfault_harness.cpp"
MEMORY_BYTES, LATENCY = 1 << 16, 7
OKAY, SLVERR = 0, 2
VECTOR_WORDS = 1024
PATIENCE = 20_000
"""Cycles in which everything must be answered."""


def build(folder: Path, text: str) -> ctypes.CDLL:
    """The host as a library."""
    layout = harness_files(PRESETS["small"])["harness_layout.h"]
    (folder / "harness_layout.h").write_text(layout)
    (folder / "host.cpp").write_text(text)
    library = folder / "host.so"
    subprocess.run(
        [*compiler_command(), "-shared", "-fPIC", "-std=c++20", "-O0", "-I", str(folder), "-o", str(library), str(folder / "host.cpp")], check=True
    )
    return ctypes.CDLL(str(library))


class Bus:
    """A manager at the host's memory: offers what waits at random, takes answers at random.

    Members
    -------
    reads : waiting (id, address, beats). writes, words : waiting (id, address, beats) and the words of their bursts.
    data : words that were read, (id, word, last, response). responses : (id, response) of writes. written_at : cycle of each last word.
    """

    def __init__(self, host: ctypes.CDLL, rng: Random) -> None:
        layout = harness_files(PRESETS["small"])["harness_layout.h"]
        self._at = {name: int(offset) for name, offset in re.findall(r"constexpr int ([TF]_\w+) = (\d+);", layout)}
        self._host, self._rng = host, rng
        host.sf_attach.restype = ctypes.c_void_p
        address = host.sf_attach(ctypes.c_uint64(MEMORY_BYTES), ctypes.c_uint64(LATENCY), ctypes.c_uint64(1 << 40))
        self.memory = (ctypes.c_uint64 * (MEMORY_BYTES // 8)).from_address(address)
        self._from_host = (ctypes.c_uint32 * VECTOR_WORDS)()
        self.reads: deque[tuple[int, int, int]] = deque()
        self.writes: deque[tuple[int, int, int]] = deque()
        self.words: deque[tuple[int, bool]] = deque()
        self.data: list[tuple[int, int, bool, int]] = []
        self.responses: list[tuple[int, int]] = []
        self.last_word_at: list[int] = []
        self.answered_at: list[int] = []
        self.cycle = 0

    def write(self, identity: int, address: int, words: list[int]) -> None:
        self.writes.append((identity, address, len(words)))
        self.words.extend((word, index + 1 == len(words)) for index, word in enumerate(words))

    def _get(self, name: str, words: int = 1) -> int:
        at = self._at[f"F_{name}"]
        return self._from_host[at] | (self._from_host[at + 1] << 32 if words == 2 else 0)

    def tick(self) -> None:
        """A cycle: what is offered in it, what is taken, and what the host makes of it."""
        rng, to_host = self._rng, (ctypes.c_uint32 * VECTOR_WORDS)()

        def put(name: str, value: int) -> None:
            at = self._at[f"T_{name}"]
            to_host[at] = value & 0xFFFF_FFFF
            if value >> 32:
                to_host[at + 1] = value >> 32

        offered = {channel for channel, queue in (("AR", self.reads), ("AW", self.writes), ("W", self.words)) if queue and rng.random() < 0.7}
        for channel, queue in (("AR", self.reads), ("AW", self.writes)):
            if channel in offered:
                identity, address, beats = queue[0]
                for name, value in (("VALID", 1), ("ID", identity), ("ADDR", address), ("LEN", beats - 1)):
                    put(channel + name, value)
                if self._get(f"{channel}READY"):
                    queue.popleft()
        if "W" in offered:
            word, last = self.words[0]
            for name, value in (("WVALID", 1), ("WDATA", word), ("WSTRB", 0xFF)):
                put(name, value)
            if self._get("WREADY"):
                self.words.popleft()
                if last:
                    self.last_word_at.append(self.cycle)
        if rng.random() < 0.8:
            put("RREADY", 1)
            if self._get("RVALID"):
                self.data.append((self._get("RID"), self._get("RDATA", 2), bool(self._get("RLAST")), self._get("RRESP")))
        if rng.random() < 0.8:
            put("BREADY", 1)
            if self._get("BVALID"):
                self.responses.append((self._get("BID"), self._get("BRESP")))
                self.answered_at.append(self.cycle)
        self._host.seqfault_tick(to_host, self._from_host)
        self.cycle += 1

    def drain(self, reads: int, writes: int) -> None:
        """Until so many words were read and so many writes answered; and a little longer, as there must not be more."""
        for _ in range(PATIENCE):
            if len(self.data) >= reads and len(self.responses) >= writes:
                break
            self.tick()
        for _ in range(5 * LATENCY):
            self.tick()
        assert len(self.data) == reads, f"{len(self.data)} words were read instead of {reads}"
        assert len(self.responses) == writes, f"{len(self.responses)} answers instead of {writes}"


def check_bursts(host: ctypes.CDLL, seed: int) -> None:
    """Bursts of 1 to 16 words that follow one another, some beyond the end of memory; then all is read back in bursts of 1 to 16."""
    rng = Random(seed)
    bus = Bus(host, rng)
    expected = [0] * len(bus.memory)
    answers = []
    for _ in range(120):
        beats = rng.choice((1, 1, 8, 8, 8, 2, 16))
        first = rng.choice((rng.randrange(len(expected) - 16), rng.randrange(0, len(expected) - 16, 8), len(expected) - rng.randrange(1, 9)))
        words = [rng.getrandbits(64) for _ in range(beats)]
        inside = words[: len(expected) - first]
        expected[first : first + len(inside)] = inside
        identity = rng.getrandbits(9)
        bus.write(identity, 8 * first, words)
        answers.append((identity, OKAY if inside == words else SLVERR))
    bus.drain(0, len(answers))
    assert bus.responses == answers, "answers to writes (id, response) are others instead of the expected ones"
    wrong = [index for index, word in enumerate(expected) if bus.memory[index] != word]
    assert not wrong, f"words {wrong[:8]} are other ones instead of what was written"
    hasty = [at for at, written in zip(bus.answered_at, bus.last_word_at, strict=True) if at < written + LATENCY]
    assert not hasty, f"answers in cycles {hasty[:8]} instead of {LATENCY} cycles after the last word"
    wanted = []
    for first in range(0, len(expected), 16):
        for start, end in ((first, first + rng.choice((1, 8, 16))), (first, first + 16)):
            identity = rng.getrandbits(9)
            bus.reads.append((identity, 8 * start, end - start))
            wanted += [(identity, expected[at], at + 1 == end, OKAY) for at in range(start, end)]
    bus.drain(len(wanted), len(answers))
    assert bus.data == wanted, "words that were read (id, word, last, response) are others instead of the expected ones"


def test_bursts(tmp_path: Path) -> None:
    check_bursts(build(tmp_path, SOURCE.read_text()), 1)


@pytest.mark.parametrize(
    ("line", "planted"),
    [
        ("write.address + 8ull * host.write_beat", "write.address"),
        ("std::max(host.write_response, response)", "host.write_beat ? host.write_response : response"),
        ("host.write_beat = host.write_response = 0", "host.write_beat = 0"),
        ("if (++host.write_beat == write.beats)", "if (++host.write_beat)"),
        ("read.address + 8ull * host.beat", "read.address"),
    ],
)
def test_planted_bug_is_found(tmp_path: Path, line: str, planted: str) -> None:
    text = SOURCE.read_text()
    assert text.count(line) == 1, f"the source has {text.count(line)} times: {line}"
    with pytest.raises(AssertionError, match="instead of"):
        check_bursts(build(tmp_path, text.replace(line, planted)), 1)
