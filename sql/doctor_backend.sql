-- Which process of which server answers, and in which database.
select pg_catalog.pg_backend_pid() as pid,
       pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(), d.oid) as place
  from pg_catalog.pg_database d
 where d.datname = pg_catalog.current_database()
