"""What the library records itself, by name: tells a metric that nobody has heard of from one that will be there."""

from __future__ import annotations

import math

__all__ = ["GAUGES", "HISTOGRAMS", "METRICS"]

HISTOGRAMS = {
    "client_request_duration_seconds": 10.0,
    "http_request_duration_seconds": 10.0,
    "http_request_size_bytes": 1e8,
    "http_response_size_bytes": 1e8,
    "http_time_to_first_byte_seconds": 10.0,
    "job_duration_seconds": 10.0,
    "probe_duration_seconds": math.inf,
    "session_duration_seconds": 28_800.0,
    "tool_duration_seconds": 60.0,
    "ttfa_seconds": 10.0,
    "websocket_session_duration_seconds": 21_600.0,
}
"""Histogram -> its last bucket that ends: more than this no quantile can be."""

METRICS = frozenset(
    {
        *(f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "count", "sum")),
        *(
            "http_requests_total",
            "http_requests_in_flight",
            "http_requests_shed_total",
            "tenant_requests_total",
        ),
        *("client_requests_total", "errors_total", "resilience_calls_total", "retry_attempts_total"),
        *("circuit_breaker_state", "circuit_breaker_transitions_total", "circuit_breaker_rejected_total"),
        *("websocket_sessions_total", "websocket_sessions_open"),
        *("job_runs_total", "job_last_success_timestamp_seconds"),
        *("session_oldest_seconds", "tool_calls_total", "quota_used", "quota_limit"),
        *("cost_usd_total", "cost_budget_usd"),
        *("process_resident_memory_bytes", "process_memory_limit_bytes", "process_cpu_seconds_total"),
        *("process_open_fds", "process_start_time_seconds", "event_loop_lag_seconds"),
        *("health_check_status", "probe_success", "probe_duration_seconds", "deployment_info"),
        *("slo_error_budget_remaining_ratio", "slo_burn_rate", "slo_period_events", "slo_period_bad_events"),
        *("slo_events_total", "slo_excluded", "slo_slices_total", "slo_bad_slices_total"),
        *("resilience_label_sets_refused_total", "resilience_observations_refused_total"),
        *(
            "reliability_config_last_reload_successful",
            "reliability_config_last_reload_success_timestamp_seconds",
        ),
        "notifications_total",
        "resilience_task_failures_total",
        "resilience_tick_failures_total",
    }
)
"""Names of the series that the library records, its adapters' too; a histogram's three by themselves."""

GAUGES = frozenset(
    name
    for name in METRICS
    if not name.endswith(("_total", "_bucket", "_count", "_sum")) and name not in HISTOGRAMS
) | {"up"}
"""Names of the series that go up and down, among those that the library or a Prometheus server records."""
