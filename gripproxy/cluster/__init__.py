"""Worker processes and what they tell each other."""
