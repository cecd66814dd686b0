"""Directed races: each of protocol.md 8 as one fault and one writer, whose start is swept over every cycle of the fault. [docs/races.md]"""
