"""What is proved of the RTL: one specification per block, its docstring the statement. `seqfault prove` runs them; see `catalogue.py`."""
