"""Market data: where bars come from, which of them are refused, and what is known of a symbol at the open."""
