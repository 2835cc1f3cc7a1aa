"""The one error that a person who measures is meant to read."""


class Failure(Exception):
    """Something could not be measured: what, why, and what to do."""
