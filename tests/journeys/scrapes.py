"""What a daemon tells Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.daemon import Daemon, http_request

# What every daemon has, whatever its set-up; those of a cluster, a journal, a backend come besides.
FAMILIES = {
    "chordme_active_collaboration_sessions",
    "chordme_build_info",
    "chordme_connection_refusals",
    "chordme_connections",
    "chordme_deliveries",
    "chordme_event_loop_delay_seconds",
    "chordme_events_received",
    "chordme_events_sent",
    "chordme_evictions",
    "chordme_http_request_duration_seconds",
    "chordme_max_connections",
    "chordme_operation_lag_revisions",
    "chordme_operations_transformed",
    "chordme_packets_sent",
    "chordme_participants",
    "chordme_received_bytes",
    "chordme_refusals",
    "chordme_request_duration_seconds",
    "chordme_send_buffer_bytes",
    "chordme_sent_bytes",
    "chordme_slow_clients",
    "chordme_websocket_connections",
    "process_cpu_seconds",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}
OF_A_JOURNAL = {
    "chordme_journal_commit_duration_seconds",
    "chordme_journal_failures",
    "chordme_journal_healthy",
}
OF_REDIS = {
    "chordme_redis_dropped_messages",
    "chordme_redis_hears",
    "chordme_redis_losses",
    "chordme_redis_round_trip_seconds",
    "chordme_redis_up",
}
OF_A_BACKEND = {
    "chordme_backend_calls",
    "chordme_backend_failures",
    "chordme_backend_unsaved_songs",
    "chordme_backend_up",
}


def scrape_text(daemon: Daemon) -> str:
    """The exposition."""
    answer = http_request(f"{daemon.admin_url}/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.body.decode()


def scrape(daemon: Daemon) -> dict[str, float]:
    """Each series, with the values of its labels, and its value."""
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scrape_text(daemon))
        for sample in family.samples
    }


def families(daemon: Daemon) -> set[str]:
    """The names of the families."""
    return {family.name for family in text_string_to_metric_families(scrape_text(daemon))}
