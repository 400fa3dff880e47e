-- What the server and the session's own role are. For a session with the settings of the role: what a writer would have.
select pg_catalog.current_setting('server_version') as version,
       pg_catalog.quote_ident(current_user) as role,
       pg_catalog.quote_ident(pg_catalog.current_database()) as database,
       r.rolsuper as is_superuser,
       pg_catalog.current_setting('fsync') = 'on' as fsync,
       pg_catalog.current_setting('max_prepared_transactions')::int as max_prepared_transactions,
       pg_catalog.current_setting('synchronous_standby_names') <> '' as has_synchronous_standby,
       -- Of a walsender a stranger sees no more than that it is there; those of logical replication have a slot.
       (select count(*) from pg_catalog.pg_stat_replication w
         where w.pid not in (select active_pid from pg_catalog.pg_replication_slots where slot_type = 'logical' and active)) as standbys
  from pg_catalog.pg_roles r
 where r.rolname = current_user
