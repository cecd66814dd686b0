"""seqfault: run, check and inspect the hardware page-fault engine (command line, simulation builds, trace replay, reports)."""
