"""A question to the kernel of a node elsewhere, by way of a NumaTrace and that node's agent."""
