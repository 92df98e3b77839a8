"""Timings to quote: `benchbird time`, from plan to table. A trial takes the short form of `timing.py`."""
