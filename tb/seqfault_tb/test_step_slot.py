"""StepSlot: one grant a cycle, to who wants it, alternately; the event of the granted unit comes out. [spec architecture, the one idea]"""

import cocotb

from seqfault_rtl.messages import Event, Step

from .fields import pack, unpack
from .state_bench import StateBench

UNITS = ("faults", "commands", "updates")
RATES = {"faults": 0.7, "commands": 0.7, "updates": 0.1}


@cocotb.test()
async def grants_and_events(dut) -> None:
    """Random wishes: exactly one grant if anybody wants it, to A/D updates first, never twice to one of the others while both do."""
    bench = StateBench(dut, "slot")
    rng = bench.rng
    await bench.start(*(f"{unit}__{name}" for unit in UNITS for name in ("want", "event_valid")))
    last_both = None
    granted = {unit: 0 for unit in UNITS}
    for cycle in range(1500):
        want = {unit: rng.random() < RATES[unit] for unit in UNITS}
        speaks = rng.random() < 0.8
        events = {unit: {"first": Step.R0 if unit == "faults" else Step.FENCE, "agent": index, "data": cycle} for index, unit in enumerate(UNITS)}
        bench.drive(**{f"{unit}__want": want[unit] for unit in UNITS}, **{f"{unit}__event_valid": 0 for unit in UNITS})
        bench.drive(**{f"{unit}__event": pack(Event, events[unit]) for unit in UNITS})
        await bench.settle()
        given = [unit for unit in UNITS if bench.read(f"{unit}__grant")]
        wanting = [unit for unit in UNITS if want[unit]]
        assert len(given) == bool(wanting), f"granted {given}, wanted {wanting}"
        assert set(given) <= set(wanting)
        if want["updates"]:
            assert given == ["updates"], f"{given} before an A/D update"
        elif len(wanting) == 2:
            assert given != last_both, f"{given} twice although both want the slot"
            last_both = given
        if given and speaks:
            bench.drive(**{f"{given[0]}__event_valid": 1})
            await bench.settle()
            assert bench.read("event_valid")
            event = unpack(Event, bench.read("event"))
            assert (event["agent"], event["data"]) == (UNITS.index(given[0]), cycle)
        else:
            assert not bench.read("event_valid")
        granted |= {unit: granted[unit] + 1 for unit in given}
        await bench.clock()
    assert min(granted["faults"], granted["commands"]) > 300
    assert granted["updates"] > 50
