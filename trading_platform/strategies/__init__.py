"""Strategies: what one is (`contract`), the ones that are known by name (`registry`), and their fold over bars (`scan`).

A strategy states facts on the market, one symbol and one closed bar at a time. It knows nothing of positions, orders,
the ledger or the time of day's clock: those belong to the portfolio and the engine.
"""
