"""Deletes NumaTraces that are over; asking and answering is between people and agents."""
