"""`python -m benchmarks accuracy`: what the LSTM learns, beside published figures."""
