"""The control side: what publishers and operators send."""
