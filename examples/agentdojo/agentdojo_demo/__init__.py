"""AgentDojo's banking and workspace suites, every tool call decided by the Authority. No model is in the loop."""
