"""`python -m benchmarks jit`: what jit costs and buys, by the same LSTM written in many ways.

`sizes` and `networks` are what is computed, `variants` the table of ways to compile it, `hlo` and `anatomy` what the
compiler made of each, `sweeps` the table of what is varied, `findings` what a record shows, `pictures` and `page` how.
"""
