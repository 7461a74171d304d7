"""The compiled loop of a backtest, and the folds of what it leaves: every module here is compiled, or is compiled in."""
