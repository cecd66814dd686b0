"""The engine's two buses to the outside: AXI4 as manager (memory), AXI4-Lite as subordinate (registers).

Members carry the conventional flat names, so a component's port `axi: Out(AxiSignature(...))` becomes `axi__awaddr`, `axi__arvalid`, ...
in Verilog (Amaranth joins by two underscores). cocotbext-axi finds them with `AxiBus.from_prefix(dut, "axi_")`: the prefix ends in one
underscore and cocotb adds the other. [AMBA AXI, IHI 0022H]
"""

from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from .config import PADDR_BITS

__all__ = ["AXIL_ADDRESS_BITS", "AXIL_DATA_BITS", "AXI_DATA_BITS", "AxiBurst", "AxiLiteSignature", "AxiResponse", "AxiSignature"]

AXI_DATA_BITS = 64
"""Data width of the memory bus in bits: one word of the software contract."""
AXIL_DATA_BITS = 32
"""Data width of the register bus in bits."""
AXIL_ADDRESS_BITS = 13
"""Address width of the register bus in bits: two 4 KiB pages."""


class AxiBurst(enum.Enum, shape=2):
    """AxBURST. [AXI A3.4.1]"""

    FIXED = 0
    INCR = 1
    WRAP = 2


class AxiResponse(enum.Enum, shape=2):
    """RRESP and BRESP; bit 1 set is an error. [AXI A3.4.5]"""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def _address_channel(prefix: str, id_bits: int, address_bits: int) -> dict[str, wiring.Member]:
    """AW or AR of AXI4 as a manager drives it, without QOS, REGION and USER."""
    widths = {"id": id_bits, "addr": address_bits, "len": 8, "size": 3, "burst": AxiBurst, "lock": 1, "cache": 4, "prot": 3, "valid": 1}
    return {f"{prefix}{name}": Out(shape) for name, shape in widths.items()} | {f"{prefix}ready": In(1)}


class AxiSignature(wiring.Signature):
    """AXI4, seen from the manager: 64-bit data, byte addresses.

    Parameters
    ----------
    id_bits : width of AWID, BID, ARID, RID.
    address_bits : width of AWADDR and ARADDR.

    Members
    -------
    aw*, w*, ar* : driven by the manager but for awready, wready, arready.
    b*, r* : driven by the subordinate but for bready, rready.
    """

    def __init__(self, *, id_bits: int, address_bits: int = PADDR_BITS) -> None:
        if id_bits < 1:
            raise ValueError(f"id_bits must be at least 1, not {id_bits!r}")
        self.id_bits = id_bits
        self.address_bits = address_bits
        write_data = {"wdata": Out(AXI_DATA_BITS), "wstrb": Out(AXI_DATA_BITS // 8), "wlast": Out(1), "wvalid": Out(1), "wready": In(1)}
        write_response = {"bid": In(id_bits), "bresp": In(AxiResponse), "bvalid": In(1), "bready": Out(1)}
        read_data = {
            "rid": In(id_bits), "rdata": In(AXI_DATA_BITS), "rresp": In(AxiResponse), "rlast": In(1), "rvalid": In(1), "rready": Out(1),
        }  # fmt: skip
        super().__init__(
            _address_channel("aw", id_bits, address_bits) | write_data | write_response | _address_channel("ar", id_bits, address_bits) | read_data
        )


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite, seen from the manager: 32-bit data, 13-bit byte addresses. [AXI B1]"""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(AXIL_ADDRESS_BITS), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
                "wdata": Out(AXIL_DATA_BITS), "wstrb": Out(AXIL_DATA_BITS // 8), "wvalid": Out(1), "wready": In(1),
                "bresp": In(AxiResponse), "bvalid": In(1), "bready": Out(1),
                "araddr": Out(AXIL_ADDRESS_BITS), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
                "rdata": In(AXIL_DATA_BITS), "rresp": In(AxiResponse), "rvalid": In(1), "rready": Out(1),
            }
        )  # fmt: skip
