"""What of the chart is generated: the schema of its values, its README, its dashboard."""
