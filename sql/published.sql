-- The number of the journal's entry for a row that this session has just inserted. The host's triggers may have changed
-- other rows behind it, so the last number that was drawn here is only where to look from.
--   $1 the row's key, $2 the journal's sequence
select max(rowcast_entry.id) as id
  from {journal} rowcast_entry
 where rowcast_entry.op = 'i'
   and rowcast_entry.key operator(pg_catalog.=) $1::pg_catalog.jsonb
   and rowcast_entry.id operator(pg_catalog.>) pg_catalog.currval($2::pg_catalog.oid::pg_catalog.regclass) - 1000
