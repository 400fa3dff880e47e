-- The lowest transaction id among those who write the table: the holders of a RowExclusiveLock on it or a partition of it;
-- null if nobody does. $1: the table.
--
-- Every running transaction that has drawn an id from the table's sequence by an insert is among them: the lock is taken
-- before the statement-level trigger assigns the transaction id, and that before the first default is evaluated. Hence a
-- holder without a transaction id (between the first two steps) has drawn no row's id yet; it is left out.
--
-- One look at pg_locks (it gathers fast-path locks, where the table's are, before the transaction ids, so whoever held
-- both when it began and still does when it ends is seen with both). A prepared transaction's locks carry the virtual
-- transaction that it had. A subtransaction's ids are higher than its parent's. Ids are widened to 64 bits by their signed
-- 32-bit distance from xmax.
with recursive family (relid) as (
    select $1::pg_catalog.oid
    union
    select i.inhrelid from pg_catalog.pg_inherits as i join family as f on i.inhparent = f.relid
), locks as materialized (
    select locktype, database, relation, virtualtransaction, transactionid, mode from pg_catalog.pg_locks where granted
), now as (
    select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint as xmax
)
select min(now.xmax + ((own.transactionid::text::bigint - now.xmax + 2147483648) & 4294967295) - 2147483648) as table_xmin
  from now,
       locks as held
  join locks as own on own.virtualtransaction = held.virtualtransaction
 where held.locktype = 'relation'
   and held.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
   and held.relation in (select relid from family)
   and held.mode = 'RowExclusiveLock'
   and own.locktype = 'transactionid'
   and own.mode = 'ExclusiveLock'
