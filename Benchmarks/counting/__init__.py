"""The parts of `Benchmarks/costs`: three ways of counting, and the daemon, backend and clients that two of them need."""
