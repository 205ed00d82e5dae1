"""The origin side: connections to origins and their pool."""
