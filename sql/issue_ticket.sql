-- Notes a ticket; its time runs on the database's clock, which all relays share.
--   $1 hash, $2 contents, sealed, $3 lifetime in milliseconds
insert into rowcast.tickets (hash, contents, expires_at)
values ($1, $2, pg_catalog.clock_timestamp() + $3::bigint * interval '1 ms')
