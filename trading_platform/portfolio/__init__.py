"""The decision kernel: exits, sizing and the gate over flat records, and its translation to values."""
