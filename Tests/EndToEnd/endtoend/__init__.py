"""Fairlead against real Kubernetes: masters in network namespaces, faults, and a table of what clients noticed."""
