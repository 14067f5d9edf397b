"""AgentDojo's banking and workspace suites, every tool an MCP server behind the gateway. No model is in the loop."""
