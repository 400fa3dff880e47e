-- One page of a replay: the rooms' rows in some closed ranges of ids, by id, through the index on (room, id).
-- Pairs are compared, not the columns one by one: with an equality the planner may order by the primary key instead and
-- walk the whole table for a quiet room.
--   $1 rooms, $2 and $3 lows and highs of the ranges, $4 most rows, $5 largest content in bytes,
--   $6 most bytes of contents in all (the row that crosses it is the last)
select id, room, content, content_bytes, candidates
  from (
    select picked.id, picked.room, picked.candidates, payload.content_bytes,
           case when payload.content_bytes <= $5 then payload.content end as content,
           sum(least(payload.content_bytes, $5)) over (order by picked.id rows between unbounded preceding and 1 preceding) as bytes_before
      from (
        select (t.r).{id}::bigint as id, (t.r).{room}::text as room, t.r, count(*) over () as candidates
          from unnest($1::text[]::{room_type}[]) as wanted (room)
         cross join unnest($2::bigint[], $3::bigint[]) as closed (low, high)
         cross join lateral (
            select rowcast_row as r
              from {relation} rowcast_row
             where (rowcast_row.{room}, rowcast_row.{id}) >= (wanted.room, closed.low)
               and (rowcast_row.{room}, rowcast_row.{id}) <= (wanted.room, closed.high)
             order by rowcast_row.{room}, rowcast_row.{id} limit $4
         ) t
         order by 1 limit $4
      ) picked
     cross join lateral (
        select encoded.content, octet_length(encoded.content)::bigint as content_bytes
          from (select {payload}::text as content offset 0) encoded
         offset 0
      ) payload
  ) budgeted
 where coalesce(bytes_before, 0) < $6
 order by id
