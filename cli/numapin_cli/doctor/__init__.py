"""What a node or a cluster lacks: facts are gathered in one place, judged in another."""
