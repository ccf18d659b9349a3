SELECT row_to_json(t) FROM (
  SELECT
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    -- a role's or database's own value hides the server's from this session; then the files tell it
    (SELECT CASE WHEN s.source IN ('database', 'user', 'database user', 'client', 'session') THEN
         coalesce((SELECT f.setting FROM pg_file_settings f WHERE f.name = s.name AND f.error IS NULL ORDER BY f.seqno DESC LIMIT 1), s.boot_val)
       ELSE s.setting END
     FROM pg_settings s WHERE s.name = 'synchronous_commit') AS synchronous_commit,
    (SELECT json_agg(json_build_object('role', r.rolname, 'database', d.datname, 'value', substr(c.text, strpos(c.text, '=') + 1))
                     ORDER BY r.rolname, d.datname)
     FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c(text)
       LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
     WHERE c.text LIKE 'synchronous_commit=%') AS role_settings,
    (SELECT json_agg(json_build_object('file', f.sourcefile, 'line', f.sourceline, 'name', f.name, 'error', f.error,
                     'known', f.name IS NOT NULL AND (strpos(f.name, '.') > 0 OR EXISTS (SELECT 1 FROM pg_settings s WHERE lower(s.name) = lower(f.name))))
                     ORDER BY f.seqno)
     FROM pg_file_settings f WHERE f.error IS NOT NULL) AS file_errors
) t
