SELECT row_to_json(t) FROM (
  SELECT
    pg_is_in_recovery() AS in_recovery,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END AS segment,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END AS current
) t
