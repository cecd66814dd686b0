"""Mutants of the RTL, all in one model, and the judge that runs programs on each: how much of a changed engine the checker sees."""
