-- The lowest among the newest ids of the candidates (candidates_*.sql): where the newest N begin. NULL where there are none.
-- What a journal keeps of an epoch that is over, or may prune at any moment, does not count.
--   $1 source, $4 N
select min(newest.id) as id
  from (
    select t.id
      from (
{candidates}
      ) t
     order by t.id desc limit $4
  ) newest
 where newest.id > (
    select case when s.journal is null then newest.id - 1 else greatest(s.pruned_to, s.start_id) end
      from rowcast.sources s
     where s.name = $1
 )
