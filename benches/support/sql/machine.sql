select current_setting('server_version'), current_date::text,
       string_agg(name || ' = ' || current_setting(name), ', ' order by name)
from pg_settings
where name in ('autovacuum_naptime', 'fsync', 'max_wal_size', 'shared_buffers', 'synchronous_commit', 'wal_level', 'work_mem')
