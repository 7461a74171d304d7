"""What workspace.yaml loads."""

from trading_platform.defs.build import build_defs

defs = build_defs()
