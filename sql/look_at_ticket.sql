-- What a ticket is good for, if it can be used still; it is left where it is. $1: its hash
select contents, expires_at > pg_catalog.clock_timestamp() as alive from rowcast.tickets where hash = $1
