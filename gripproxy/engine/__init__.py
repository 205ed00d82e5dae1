"""State: channels, holds, sessions, sequencing. No I/O, no clock, nothing that waits."""
