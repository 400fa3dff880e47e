-- Notes a ticket; its time runs on the database's clock, which all relays share.
--   $1 hash, $2 source, $3 rooms, $4 claims, $5 when the token expires, $6 lifetime in milliseconds
insert into rowcast.tickets (hash, source, rooms, claims, token_expires_at, expires_at)
values ($1, $2, $3, $4, $5, pg_catalog.clock_timestamp() + $6::bigint * interval '1 ms')
