"""Fast figures, straight from the agents: asked through the API server, never kept there."""
