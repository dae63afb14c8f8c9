"""The version, for the package's metadata and for whatever dkd writes."""

__version__ = "0.1.0"
