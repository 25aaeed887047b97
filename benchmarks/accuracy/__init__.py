"""`python -m benchmarks accuracy`: what the LSTM learns, beside what was published."""
