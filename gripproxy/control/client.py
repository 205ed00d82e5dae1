"""The client of `gripproxy publish` (publishing.md 12)."""
