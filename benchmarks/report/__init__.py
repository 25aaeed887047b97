"""`python -m benchmarks report`: all records as one page without network, and the figures in README and docs."""
