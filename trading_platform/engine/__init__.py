"""The engine: four stages, and the cycle that composes them. Every driver goes through here."""
