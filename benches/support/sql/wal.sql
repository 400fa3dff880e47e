-- Bytes of write-ahead log that this server has written since it was made.
select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
