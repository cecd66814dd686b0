"""The testbench kernel: plays all of Linux' memory management except the fault path, against an abstract `Machine`."""

from .address_space import AddressSpace
from .drive import drive
from .faults import FaultCall, FaultReport
from .kernel import Kernel
from .layout import LayoutChange
from .memory_layout import MemoryMap
from .tasks import Future, Scheduler, Task

__all__ = ["AddressSpace", "FaultCall", "FaultReport", "Future", "Kernel", "LayoutChange", "MemoryMap", "Scheduler", "Task", "drive"]
