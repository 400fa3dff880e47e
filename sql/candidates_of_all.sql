-- The rows of all rooms in some ranges of ids, through the index on the id, but for those that have no room. (The tail's
-- read takes candidates_by_id.sql: it must see every id.)
--   $2 and $3 lows and highs of the ranges, $4 most rows
select t.*
  from unnest($2::bigint[], $3::bigint[]) as open (low, high)
 cross join lateral (
    select rowcast_row as r, rowcast_row.{id}::bigint as id, ({room})::text as room
      from {relation} rowcast_row
     where rowcast_row.{id} between open.low and open.high and ({room}) is not null {unless}
     order by rowcast_row.{id} {direction} limit $4
 ) t
