//! Enforcement point in front of tools, agents and vendor APIs.
