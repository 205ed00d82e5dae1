"""Values and rules: parse, format, decide. No state, no clock, no I/O."""
