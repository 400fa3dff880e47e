-- The highest id that can have been drawn or given by now: a cursor beyond it comes from a future that was lost.
--   $1 source
select greatest(
           coalesce((select pg_catalog.pg_sequence_last_value(s.id_sequence) from rowcast.sources s where s.name = $1), 0),
           coalesce((select max(rowcast_row.{id}) from {relation} rowcast_row), 0)::bigint
       ) as ceiling
