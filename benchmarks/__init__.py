"""Benchmarks: generators of large inputs, and what is measured on them."""
