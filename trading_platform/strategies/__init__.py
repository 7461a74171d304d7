"""Strategies: what one is (`contract`), the ones that are known by name or file (`registry`), and their fold over bars.

A strategy states facts on the market, one symbol and one closed bar at a time. It knows nothing of positions, orders,
the ledger or the time of day's clock: those belong to the portfolio and the engine. `scan` folds a step over bars,
`set_aside` keeps one that fails from stopping the others, and `check` tries one out before it costs money.
"""
