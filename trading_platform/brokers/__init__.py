"""Venues: the port that each one fulfils, its adapters, and the paper exchange with its fill model and fees."""
