"""Measurements of what Fairlead promises about the network. Started by ../run."""
