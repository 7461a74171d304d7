"""Settings: every knob with its unit and bounds, and the one reader of the environment."""
