"""`python -m benchmarks speed`: how fast LSTMs are, what they take and what limits them."""
