"""A command's words in the contract's terms; a malformed one is refused. [contract, Command queue]"""

from typing import NamedTuple

from ..layout import EVERY_SPACE, LEVELS, VPN_MASK
from ..protocol.world import NotAllowed

__all__ = ["Fence", "Invalidate", "Response", "Sweep", "custom_space", "fence", "invalidate", "response", "satp", "sweep"]

PAGE_NUMBER_BITS = 45
"""Of a first page: VA[56:12], "sign-extended from the mode's width"."""
SV32 = 1
ADUE = 1
MOST_PAGES = 1 << 52


class Fence(NamedTuple):
    """IOFENCE.C: `address` of the word that gets `data` (None: nothing is written)."""

    reads: bool
    interrupts: bool
    address: int | None
    data: int


class Invalidate(NamedTuple):
    """IOTINVAL.VMA, as in its event: `pages` 0 is all."""

    space: int
    first: int
    pages: int


class Sweep(NamedTuple):
    """ZAP or PROTECT of pages [first, end), within the addresses of the mode."""

    first: int
    end: int
    rights: int
    shares: bool


class Response(NamedTuple):
    """ATS.PRGR: the page request `tag` of a port is done with."""

    space: int
    port: int
    tag: int
    code: int


def bits(word: int, low: int, high: int) -> int:
    """Bits `low` to `high`, inclusive."""
    return word >> low & (1 << high - low + 1) - 1


def _expect(legal: bool, what: str) -> None:
    if not legal:
        raise NotAllowed(what)


def custom_space(word0: int, spaces: int, *, options: bool = False, share: bool = False, count: bool = False) -> int:
    """The space of a custom command; `options`, `share`, `count`: bits [30:28], [31] and [63:32] mean something."""
    space = bits(word0, 12, 27)
    reserved = bits(word0, 10, 11) or (bits(word0, 31, 31) and not share) or (bits(word0, 28, 30) and not options)
    reserved = reserved or (bits(word0, 32, 63) and not count)
    _expect(space < spaces, f"there is no space {space}")
    _expect(not reserved, f"command {word0:#x} has reserved bits")
    return space


def invalidate(word0: int, word1: int, spaces: int) -> Invalidate:
    """ "with S the address is NAPOT: the lowest 0 bit of ADDR ends the range mask"."""
    space, named = bits(word0, 12, 31), bits(word0, 32, 32)
    _expect(not (bits(word0, 11, 11) or bits(word0, 33, 63) or bits(word1, 0, 8) or bits(word1, 62, 63)), "IOTINVAL.VMA has reserved bits")
    _expect(not named or space < spaces, f"there is no space {space}")
    space = space if named else EVERY_SPACE
    if not bits(word0, 10, 10):
        return Invalidate(space, 0, 0)
    page, pages = bits(word1, 10, 61), 1
    if bits(word1, 9, 9):
        pages = min((page ^ page + 1) + 1, MOST_PAGES)
    return Invalidate(space, page & -pages & VPN_MASK, pages)


def fence(word0: int, word1: int) -> Fence:
    """ "AV=1 writes the 32-bit DATA there (the engine supports 8-byte aligned ADDR only and writes DATA zero-extended to 64 bits)"."""
    writes = bool(bits(word0, 10, 10))
    _expect(not bits(word0, 14, 31), "IOFENCE.C has reserved bits")
    _expect(not writes or not (word1 & 1 or word1 >> 54), f"IOFENCE.C cannot write at {word1 << 2:#x}")
    return Fence(bool(bits(word0, 12, 12)), bool(bits(word0, 11, 11)), word1 << 2 if writes else None, bits(word0, 32, 63))


def response(word0: int, word1: int, spaces: int, ports: int) -> Response:
    """ "PID (space) [31:12], PV [32], RID (requester port) [55:40]"; "PRGI [40:32], response code [47:44]"."""
    space, port = bits(word0, 12, 31), bits(word0, 40, 55)
    reserved = bits(word0, 10, 11) or bits(word0, 33, 39) or bits(word0, 56, 63) or bits(word1, 0, 31) or bits(word1, 41, 43) or bits(word1, 48, 63)
    _expect(not reserved and bool(bits(word0, 32, 32)), f"ATS.PRGR {word0:#x} {word1:#x} has reserved bits, or no space")
    _expect(space < spaces, f"there is no space {space}")
    _expect(port < ports, f"there is no port {port}")
    return Response(space, port, bits(word1, 32, 40), bits(word1, 44, 47))


def satp(word1: int, features: int) -> int:
    """The table that SPACE.TABLE names. This engine has neither Sv32 nor Svadu."""
    mode = word1 >> 60
    _expect((mode == 0 or mode in LEVELS) and mode != SV32 and not bits(word1, 44, 59), f"SPACE.TABLE with {word1:#x}")
    _expect(not features & ADUE, "SPACE.TABLE with ADUE: the functional engine does not set A and D")
    return word1


def sweep(word0: int, word1: int, levels: int, *, protects: bool) -> Sweep:
    """ZAP and PROTECT: "an entry that would have none of R, W, X: [..] malformed". `levels` of the space's table; 0: it has none."""
    rights, name = bits(word0, 28, 30), "PROTECT" if protects else "ZAP"
    _expect(rights not in (0, 2, 6) if protects else rights == 0, f"{name} with rights {rights}")
    half = 9 * levels - 1 if levels else PAGE_NUMBER_BITS
    _expect(word1 >> half in (0, (1 << max(PAGE_NUMBER_BITS - half, 0)) - 1), f"{name} of page {word1:#x}, which is not canonical")
    end = min(word1 + bits(word0, 32, 63), 1 << (half if word1 < 1 << half else PAGE_NUMBER_BITS))
    return Sweep(word1, end, rights, bool(bits(word0, 31, 31)))
