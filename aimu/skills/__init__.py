"""Skills in the agentskills.io format."""
