"""Strategies over history: signals from the scan, decisions from the kernel, fills from the exchange's own model."""
