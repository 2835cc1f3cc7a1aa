"""Fairlead as a service of a real systemd: see ../run."""
