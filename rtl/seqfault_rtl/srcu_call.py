"""What an SRCU call carries. Field meanings: `Srcu`."""

from amaranth.lib import data

__all__ = ["SrcuCall"]


class SrcuCall(data.Struct):
    """A callback of software's: it runs when `cookie` comes back.

    `cookie` has 64 bits, a whole command word: `call_srcu(head, fn)` is called with a pointer to what is to be freed, so software can hand
    over that pointer and needs no table from numbers to pointers. `space` is the command's, for the event and for whoever frees; a grace
    period waits for the readers of all spaces.
    """

    space: 16
    cookie: 64
