"""Constrained-random programs: as data, made from a seed, run on a machine, and what is noted of a run besides the checker's verdict."""
