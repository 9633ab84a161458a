"""What the operator would decide about pods, worked out without changing anything."""
