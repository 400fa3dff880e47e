-- Part of read.sql, replay.sql and newest.sql: the candidates (candidates_*.sql) with their contents, within the bounds of one
-- answer. The row that crosses the bound of bytes is the last. `candidates` counts what was found before that bound.
--   $4 most rows, $5 largest content in bytes, $6 most bytes of contents in all
select id, room, op, key, written, content, content_bytes, candidates
  from (
    select picked.id, picked.room, {op} as op, {key} as key, {time} as written, picked.candidates, payload.content_bytes,
           case when payload.content_bytes <= $5 then payload.content end as content,
           sum(least(coalesce(payload.content_bytes, 0), $5))
               over (order by picked.id {direction} rows between unbounded preceding and 1 preceding) as bytes_before
      from (
        select t.*, count(*) over () as candidates
          from (
{candidates}
          ) t
         order by t.id {direction} limit $4
      ) picked
     cross join lateral (
        select encoded.content, octet_length(encoded.content)::bigint as content_bytes
          from (select {payload}::text as content offset 0) encoded
         offset 0
      ) payload
  ) budgeted
 where coalesce(bytes_before, 0) < $6
 order by id
