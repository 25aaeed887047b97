"""`python -m benchmarks jit`: what jit costs and buys, by the same LSTM written in many ways.

`networks` and `variants` are the ways, `sweeps` what is varied, `measure` how, `findings` what a record shows.
"""
