"""Synthesizable RTL of seqfault, the page-fault engine, as Amaranth components (one per file; `engine.py` wires them)."""
