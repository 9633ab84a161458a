"""Which pods without the label would gain by it, and which would not or might be harmed."""
