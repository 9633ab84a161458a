"""One module a command: its options, and what it asks whom. No rendering."""
