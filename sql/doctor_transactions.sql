-- The transactions that hold ids open: those with a transaction id, prepared ones among them, oldest first. Of other roles'
-- sessions one without pg_read_all_stats sees that they are there, not since when: age_seconds is null then.
--   $1 the relations that are followed; `writes` is whether a transaction wrote one of them, or a partition
with recursive family (relid) as (
    select unnest($1::pg_catalog.oid[])
    union
    select i.inhrelid from pg_catalog.pg_inherits i join family f on i.inhparent = f.relid
), writer as materialized (
    select distinct l.pid, l.virtualtransaction
      from pg_catalog.pg_locks l
     where l.granted and l.locktype = 'relation' and l.relation in (select relid from family)
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
       and l.mode not in ('AccessShareLock', 'RowShareLock')
)
select a.pid, null::text as gid, a.backend_xid::text as xid, coalesce(a.usename::text, '?') as role, a.datname::text as database,
       coalesce(a.application_name, '') as application, coalesce(a.state, '?') as state,
       extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::float8 as age_seconds,
       exists (select from writer w where w.pid = a.pid) as writes,
       pg_catalog.format('select pg_catalog.pg_terminate_backend(%s);', a.pid) as remedy
  from pg_catalog.pg_stat_activity a
 where a.backend_xid is not null and a.pid <> pg_catalog.pg_backend_pid() and a.datname is not null
union all
select null, x.gid, x.transaction::text, x.owner::text, x.database::text, '', 'prepared',
       extract(epoch from pg_catalog.clock_timestamp() - x.prepared)::float8,
       exists (select from pg_catalog.pg_locks t join writer w on w.virtualtransaction = t.virtualtransaction
                where t.locktype = 'transactionid' and t.transactionid = x.transaction and t.pid is null),
       pg_catalog.format('rollback prepared %L; -- or: commit prepared %1$L;', x.gid)
  from pg_catalog.pg_prepared_xacts x
 order by age_seconds desc nulls last, xid
