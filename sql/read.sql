-- The tail's read: all that became visible in the open ranges, and with it what the rules of gaps need. One statement,
-- alone in its transaction, so that rows, snapshot, epoch, transaction counter and sequence agree.
--   $1 source, $2 and $3 lows and highs of the open ranges, $4 most rows, $5 whether contents are wanted,
--   $6 largest content in bytes, $7 most bytes of contents in all
-- The order of the target list matters: an id at or below sequence_last was drawn by a transaction that had its number
-- by then, so the transaction counter is read after it. age() stands in a target list only: elsewhere it is evaluated
-- while planning.
with header as materialized (
    select s.epoch,
           s.start_id,
           s.never_ring,
           s.sequence_filenode::oid as registered_filenode,
           coalesce(pg_catalog.pg_relation_filenode(s.id_sequence), 0::oid) as sequence_filenode,
           coalesce(pg_catalog.has_sequence_privilege(s.id_sequence::oid, 'select, usage'), false) as sequence_is_readable,
           coalesce(pg_catalog.pg_sequence_last_value(s.id_sequence), 0) as sequence_last,
           pg_catalog.age('3'::pg_catalog.xid) as transaction_age,
           pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint as snapshot_xmax,
           pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint as snapshot_xmin,
           coalesce(pg_catalog.pg_sequence_last_value(s.bell), 0) as flag,
           pg_catalog.pg_is_in_recovery() as in_recovery
      from rowcast.sources s
     where s.name = $1
)
select header.*, found.*
  from header
  left join lateral (
    select id, room, content, content_bytes, candidates
      from (
        select picked.id, picked.room, picked.candidates, payload.content_bytes,
               case when payload.content_bytes <= $6 then payload.content end as content,
               sum(least(coalesce(payload.content_bytes, 0), $6)) over (order by picked.id rows between unbounded preceding and 1 preceding) as bytes_before
          from (
            select (t.r).{id}::bigint as id, (t.r).{room}::text as room, t.r, count(*) over () as candidates
              from unnest($2::bigint[], $3::bigint[]) as open (low, high)
             cross join lateral (
                select rowcast_row as r
                  from {relation} rowcast_row
                 where rowcast_row.{id} between open.low and open.high
                 order by rowcast_row.{id} limit $4
             ) t
             order by 1 limit $4
          ) picked
         cross join lateral (
            select encoded.content, octet_length(encoded.content)::bigint as content_bytes
              from (select case when $5 then {payload}::text end as content offset 0) encoded
             offset 0
          ) payload
      ) budgeted
     where coalesce(bytes_before, 0) < $7
     order by id
  ) found on true
