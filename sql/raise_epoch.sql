-- The id sequence began anew without a TRUNCATE; or a journal's trigger skipped changes while a column was missing, or a
-- partition was truncated: every cursor of the old epoch is void. Whoever comes first does it.
-- Which rows are new nobody knows: start_id -1 lets tails take those that are visible then as seen.
--   $1 source, $2 the epoch that is over
update rowcast.sources s
   set epoch = s.epoch + 1,
       start_id = -1,
       pruned_to = 0,
       truncations = (select count(*) from rowcast.truncations t where t.source = s.name),
       skips = coalesce(pg_catalog.pg_sequence_last_value(s.skip_sequence), 0),
       sequence_filenode = coalesce(pg_catalog.pg_relation_filenode(s.id_sequence), 0::oid)
 where s.name = $1 and s.epoch = $2
returning pg_catalog.pg_notify('rowcast', 'sources:')
