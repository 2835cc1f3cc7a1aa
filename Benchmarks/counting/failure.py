"""The one error that a person who counts is meant to read."""


class Failure(Exception):
    """Something could not be counted: what, why, and what to do."""
