"""Access logs played through rules and objectives on a virtual clock."""

from resilience.replay.backtest import Backtest
from resilience.replay.incident import Incident
from resilience.replay.result import BacktestResult, Refused
from resilience.replay.what_if import WhatIf

__all__ = ["Backtest", "BacktestResult", "Incident", "Refused", "WhatIf"]
