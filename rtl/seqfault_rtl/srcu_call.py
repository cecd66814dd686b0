"""What an SRCU call carries, and what comes back. Field meanings: `Srcu`."""

from amaranth.lib import data

__all__ = ["SrcuCall", "SrcuCompletion"]


class SrcuCall(data.Struct):
    """A callback of software's: it runs when `cookie` comes back.

    `cookie` has 64 bits, a whole command word: `call_srcu(head, fn)` is called with a pointer to what is to be freed, so software can hand
    over that pointer and needs no table from numbers to pointers. `space` is the command's, for the event and for whoever frees; a grace
    period waits for the readers of all spaces.
    """

    space: 16
    cookie: 64


class SrcuCompletion(data.Struct):
    """A record of the completion ring as it is in memory: a call whose readers have all left. [docs/software-contract.md, SRCU]"""

    cookie: 64
    reserved_64: 48
    space: 16
