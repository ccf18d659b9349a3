SELECT row_to_json(t) FROM (
  SELECT
    pg_is_in_recovery() AS in_recovery,
    pg_last_xlog_receive_location() AS received,
    pg_last_xlog_replay_location() AS replayed,
    CASE WHEN pg_is_in_recovery() THEN pg_is_xlog_replay_paused() ELSE false END AS paused,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS replay_age,
    (SELECT json_agg(row_to_json(s)) FROM (
       SELECT application_name, host(client_addr) AS client_addr, state, sync_state, flush_location AS flush_lsn, replay_location AS replay_lsn
       FROM pg_stat_replication ORDER BY application_name, client_addr, pid) s) AS standbys,
    current_setting('synchronous_standby_names') AS sync_names
) t;
SELECT row_to_json(t) FROM (
  SELECT
    pg_is_in_recovery() AS in_recovery,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_xlog_location() END AS position,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_xlogfile_name(pg_current_xlog_insert_location()) END AS segment
) t
