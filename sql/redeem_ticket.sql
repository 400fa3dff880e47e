-- Takes a ticket away and says what it was good for: of several who bring it, the row's lock lets one have it. $1: its hash
delete from rowcast.tickets
where hash = $1
returning contents, expires_at > pg_catalog.clock_timestamp() as alive
