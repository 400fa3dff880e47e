-- The rooms' rows in some ranges of ids, through the index on (room, id). Pairs are compared, not the columns one by
-- one: with an equality the planner may order by the primary key instead and walk the whole table for a quiet room.
--   $2 and $3 lows and highs of the ranges, $4 most rows, $7 rooms
select t.*
  from unnest($7::text[]::{room_type}[]) as wanted (room)
 cross join unnest($2::bigint[], $3::bigint[]) as open (low, high)
 cross join lateral (
    select rowcast_row as r, rowcast_row.{id}::bigint as id, ({room})::text as room
      from {relation} rowcast_row
     where ({room}, rowcast_row.{id}) >= (wanted.room, open.low)
       and ({room}, rowcast_row.{id}) <= (wanted.room, open.high) {unless}
     order by {room} {direction}, rowcast_row.{id} {direction} limit $4
 ) t
