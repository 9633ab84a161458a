"""From data to what people see or programs read. Pure: no cluster, no clock, no files."""
