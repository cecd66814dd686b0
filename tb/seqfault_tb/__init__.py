"""The cocotb testbench of seqfault: machines, drivers, monitors, scoreboard, the testbench kernel and the test modules."""
