-- The next unassigned transaction id, 64 bits wide.
--
-- pg_snapshot_xmax is not it: that is one past the newest *finished* id, and a transaction beyond it can be running.
-- age('3') is "the transaction counter minus 3" in 32 bits, and consumes no id. PostgreSQL fixes it at its first call in
-- a transaction and takes the transaction's own id if it has one, so this runs alone in its transaction; and it evaluates
-- it while planning anywhere but in a target list. The distance between the counter and xmax, as a signed 32-bit
-- number, widens it: the two are never 2^31 apart.
select xmax + ((counter - xmax + 2147483648) & 4294967295) - 2147483648 as next_xid
  from (select (pg_catalog.age('3'::pg_catalog.xid)::bigint + 3) & 4294967295 as counter,
               pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint as xmax
        offset 0) as now
