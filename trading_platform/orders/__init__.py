"""Orders: from decisions to intents, from intents to the broker, and back from the broker to the ledger."""
