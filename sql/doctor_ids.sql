-- How a source's ids stand to its sequence, and who may look at its bell. $1 the source, $2 the id column; {relation} is what is
-- followed, {id} that column, quoted
select coalesce((select max(rowcast_row.{id}) from {relation} rowcast_row), 0)::bigint as highest,
       coalesce(pg_catalog.pg_sequence_last_value(s.id_sequence), 0) as drawn,
       coalesce((select p.highest_drawn from rowcast.positions p where p.source = s.name and p.epoch = s.epoch), 0) as seen,
       pg_catalog.pg_relation_filenode(s.id_sequence) is distinct from s.sequence_filenode as is_anew,
       least(q.seqmax, (select case a.atttypid when 21 then 32767 when 23 then 2147483647 else 9223372036854775807 end
                          from pg_catalog.pg_attribute a where a.attrelid = coalesce(s.journal, s.relation) and a.attname = $2)) as most,
       s.id_sequence::text as sequence,
       pg_catalog.has_sequence_privilege('public', s.bell, 'select') as bell_is_public,
       s.bell::text as bell,
       not exists (select from unnest(rowcast.attach_warnings(s)) w where w like 'no index on %') as has_room_index,
       (select c.relkind = 'p' from pg_catalog.pg_class c where c.oid = s.relation) as is_partitioned
  from rowcast.sources s
  join pg_catalog.pg_sequence q on q.seqrelid = s.id_sequence
 where s.name = $1
