"""The memory of a batch of vectors: entries of 8 and 4 bytes, updates only if nothing changed, accesses that belong to no vector."""

from types import SimpleNamespace

import pytest

from seqfault_golden import BusError, PagingMode
from seqfault_tb.walk_words import WalkWords

LIMIT = 0x10000


@pytest.fixture(params=[PagingMode.SV32, PagingMode.SV39], ids=["sv32", "sv39"])
def mode(request):
    return request.param


@pytest.fixture
def strays():
    return []


@pytest.fixture
def owner():
    return SimpleNamespace(reads=[], updates=[])


@pytest.fixture
def words(mode, strays, owner):
    words = WalkWords(mode, LIMIT, strays.append)
    words.put(0x1000, 0x1111, owner)
    words.put(0x1000 + mode.ptesize, 0x2222, owner)
    return words


def test_entries_and_words(words, mode, owner, strays):
    assert (words.entry(0x1000), words.entry(0x1000 + mode.ptesize)) == (0x1111, 0x2222)
    assert words.read(0x1000, plain=True) == (0x1111 if mode is PagingMode.SV39 else 0x2222_0000_1111, False)
    assert (owner.reads, strays) == ([0x1000], [])


def test_update(words, mode, owner, strays):
    second, narrow = 0x1000 + mode.ptesize, mode is PagingMode.SV32
    assert words.swap(second, 0x2221, 0x3333, narrow=narrow) == (False, False)
    assert words.swap(second, 0x2222, 0x3333, narrow=narrow) == (True, False)
    assert (words.entry(0x1000), words.entry(second), owner.updates) == (0x1111, 0x3333, [(second, 0x3333)])
    assert words.swap(LIMIT, 0, 1, narrow=narrow) == (False, True)
    assert strays == []


def test_beyond_the_limit(words, owner):
    with pytest.raises(BusError):
        words.entry(LIMIT)
    words.put(LIMIT, 0, owner)
    assert words.read(LIMIT, plain=True) == (0, True)


def test_strays(words, mode, strays):
    narrow = mode is PagingMode.SV32
    words.read(0x2000, plain=True)
    words.read(0x1000, plain=False)
    words.read(0x1004, plain=True)
    words.swap(0x2000, 0, 1, narrow=narrow)
    words.swap(0x1000, 0, 1, narrow=not narrow)
    words.swap(0x1000 + mode.ptesize // 2, 0, 1, narrow=narrow)
    assert len(strays) == 6
