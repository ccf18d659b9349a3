SELECT row_to_json(t) FROM (
  SELECT
    pg_is_in_recovery() AS in_recovery,
    (SELECT system_identifier::text FROM pg_control_system()) AS system_id,
    pg_last_wal_replay_lsn() AS replayed,
    pg_last_wal_receive_lsn() AS received,
    (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup') AS startup_waits,
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
    (SELECT row_to_json(c) FROM (SELECT timeline_id, redo_lsn FROM pg_control_checkpoint()) c) AS checkpoint,
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()) AS recovery_timeline,
    (SELECT row_to_json(r) FROM pg_stat_wal_receiver r) AS receiver,
    (SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'walreceiver') AS receiver_pid,
    (SELECT json_agg(row_to_json(s)) FROM (
       SELECT pid, application_name, host(client_addr) AS client_addr, state, sync_state, sync_priority, flush_lsn,
         (extract(epoch FROM backend_start) * 1000000)::bigint AS started
       FROM pg_stat_replication ORDER BY application_name, client_addr, pid) s) AS senders,
    (SELECT json_agg(json_build_object('Name', slot_name, 'Physical', slot_type = 'physical', 'Active', active, 'Keeps', restart_lsn IS NOT NULL,
       'Lost', coalesce(row_to_json(s) ->> 'wal_status' = 'lost', false)) ORDER BY slot_name) FROM pg_replication_slots s) AS slots,
    current_setting('synchronous_standby_names') AS names,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS clock,
    $STATEMENTS AS statements,
    (SELECT extract(epoch FROM clock_timestamp() - min(state_change)) FROM pg_stat_activity WHERE wait_event = 'SyncRep') AS sync_waits,
    EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = ANY ('$OWN'::int[]) AND application_name = 'pgctl.canary'
       AND wait_event = 'SyncRep') AS canary_waits,
    to_regclass('pgctl.epoch') IS NOT NULL AS has_rows,
    (SELECT json_object_agg(n, current_setting(n, true)) FROM unnest(ARRAY[
       'fsync', 'full_page_writes', 'restart_after_crash', 'wal_retrieve_retry_interval', 'wal_sender_timeout', 'wal_receiver_timeout',
       'synchronous_commit', 'restore_command', 'recovery_target_timeline', 'primary_slot_name', 'hba_file', 'wal_segment_size', 'wal_level',
       'hot_standby', 'max_connections', 'max_replication_slots', 'track_activities']) AS n) AS settings
) t
