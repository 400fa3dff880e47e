-- What kind of server this is.
select version() as version,
       current_setting('server_version_num')::int as number,
       exists (select from pg_catalog.pg_extension where extname = 'citus') as citus
