-- One page of a replay: some rows in closed ranges of ids, by id, and up to where a journal is pruned in that snapshot.
--   $1 source; the others as in contents.sql and candidates_*.sql
select header.kept_above, found.*
  from (
    select case when s.journal is null then 0 else greatest(s.pruned_to, s.start_id) end as kept_above
      from rowcast.sources s
     where s.name = $1
  ) header
  left join lateral (
{contents}
  ) found on true
