-- The lowest among the newest rows of some rooms: where the newest N begin. NULL where there are none.
-- Pairs are compared as in replay.sql.
--   $1 rooms, $2 and $3 lows and highs of the ranges of ids to look in, $4 N
select min(id)::bigint as id
  from (
    select t.id
      from unnest($1::text[]::{room_type}[]) as wanted (room)
     cross join unnest($2::bigint[], $3::bigint[]) as closed (low, high)
     cross join lateral (
        select rowcast_row.{id} as id
          from {relation} rowcast_row
         where (rowcast_row.{room}, rowcast_row.{id}) >= (wanted.room, closed.low)
           and (rowcast_row.{room}, rowcast_row.{id}) <= (wanted.room, closed.high)
         order by rowcast_row.{room} desc, rowcast_row.{id} desc limit $4
     ) t
     order by t.id desc limit $4
  ) newest
