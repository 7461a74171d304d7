"""trading_platform: a trading strategy from backtest to production."""
