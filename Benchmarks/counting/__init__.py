"""The parts of `Benchmarks/costs`: three ways of counting, and the daemon, backends and clients for two of them."""
