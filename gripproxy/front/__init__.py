"""The client side: listeners and client connections."""
