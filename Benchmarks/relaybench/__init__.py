"""Fairlead beside its peers: measures, compares, and says which promises hold."""
