"""The sources of bars, one module each. Each passes the contract tests of the provider port."""
