"""`python -m benchmarks accuracy`: accuracy on standard tasks, compared with published figures."""
