SELECT row_to_json(t) FROM (
  SELECT
    pg_is_in_recovery() AS in_recovery,
    pg_last_wal_receive_lsn() AS received,
    pg_last_wal_replay_lsn() AS replayed,
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS replay_age,
    (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS recovery_timeline,
    (SELECT row_to_json(r) FROM pg_stat_wal_receiver r) AS receiver,
    (SELECT json_agg(row_to_json(s)) FROM (
       SELECT application_name, host(client_addr) AS client_addr, state, sync_state, flush_lsn, replay_lsn,
         (SELECT slot_name FROM pg_replication_slots WHERE active_pid = pg_stat_replication.pid) AS slot
       FROM pg_stat_replication ORDER BY application_name, client_addr, pid) s) AS standbys,
    (SELECT json_agg(row_to_json(s)) FROM (
       SELECT sl.*, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                         ELSE pg_current_wal_lsn() END, restart_lsn)::bigint AS retained
       FROM pg_replication_slots sl ORDER BY slot_name) s) AS slots,
    current_setting('synchronous_standby_names') AS sync_names,
    (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep') AS sync_waits
) t;
SELECT row_to_json(t) FROM (
  SELECT
    pg_is_in_recovery() AS in_recovery,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn() END AS position,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END AS segment
) t
