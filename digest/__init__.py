"""The press: stories in, an edition laid out and approved, one delivery per reader."""

__version__ = "0.1.0"
