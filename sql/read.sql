-- The tail's read: all that became visible in the open ranges, and with it what the rules of gaps need. One statement,
-- alone in its transaction, so that rows, snapshot, epoch, transaction counter and sequence agree.
--   $1 source, $2 and $3 lows and highs of the open ranges, $4 most rows, $5 largest content in bytes,
--   $6 most bytes of contents in all, $7 the rooms whose rows' contents are wanted, in UTF-8 (null: all)
-- The order of the target list matters: an id at or below sequence_last was drawn by a transaction that had its number
-- by then, so the transaction counter is read after it. age() stands in a target list only: elsewhere it is evaluated
-- while planning.
with header as materialized (
    select s.epoch,
           s.revision,
           s.start_id,
           case when s.journal is null then 0 else greatest(s.pruned_to, s.start_id) end as kept_above,
           s.never_ring,
           s.sequence_filenode::oid as registered_filenode,
           coalesce(pg_catalog.pg_relation_filenode(s.id_sequence), 0::oid) as sequence_filenode,
           coalesce(pg_catalog.has_sequence_privilege(s.id_sequence::oid, 'select, usage'), false) as sequence_is_readable,
           coalesce(pg_catalog.pg_sequence_last_value(s.id_sequence), 0) as sequence_last,
           pg_catalog.age('3'::pg_catalog.xid) as transaction_age,
           pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint as snapshot_xmax,
           pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::bigint as snapshot_xmin,
           coalesce(pg_catalog.pg_sequence_last_value(s.bell), 0) as flag,
           pg_catalog.pg_is_in_recovery() as in_recovery,
           s.journal is not null
               and (select count(*) from rowcast.truncations t where t.source = s.name) <> s.truncations as truncated,
           coalesce(pg_catalog.pg_sequence_last_value(s.skip_sequence), 0) - s.skips as skipped,
           case when coalesce(pg_catalog.pg_sequence_last_value(s.skip_sequence), 0) <> s.skips
                then rowcast.columns_as_registered(s) end as columns_fit
      from rowcast.sources s
     where s.name = $1
)
select header.*, found.*
  from header
  left join lateral (
{contents}
  ) found on true
