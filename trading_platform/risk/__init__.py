"""Risk: one function for each control, and the gate that says in which order they speak."""
