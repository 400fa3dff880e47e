-- Every registered source as the catalog has it now, the first attached first. `broken` says in words why a source can't be
-- followed by this role, null if it can. Names come back quoted; the tail puts them into its statements.
with found as (
    select s.*, c.oid as table_oid, c.relowner, n.nspname, c.relname,
           i.attnum as id_attnum, i.atttypid as id_type, r.attnum as room_attnum, r.atttypid as room_type,
           r.atttypmod as room_typmod, o.collisdeterministic as room_strict
    from rowcast.sources s
    left join pg_catalog.pg_class c on c.oid = s.relation
    left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_attribute i on i.attrelid = c.oid and i.attname = s.id_column and i.attnum > 0 and not i.attisdropped
    left join pg_catalog.pg_attribute r on r.attrelid = c.oid and r.attname = s.room_column and r.attnum > 0 and not r.attisdropped
    left join pg_catalog.pg_collation o on o.oid = r.attcollation
), sent as (
    select f.name, array_agg(a.attname::text order by coalesce(array_position(f.columns, a.attname::text), a.attnum)) as names,
           array_agg(pg_catalog.quote_ident(a.attname) order by coalesce(array_position(f.columns, a.attname::text), a.attnum)) as quoted,
           bool_and(pg_catalog.has_column_privilege(f.table_oid, a.attnum, 'select')) as readable
    from found f join pg_catalog.pg_attribute a on a.attrelid = f.table_oid and a.attnum > 0 and not a.attisdropped
    where f.columns is null or a.attname = any (f.columns)
    group by f.name
)
select f.name, f.ordinal, f.epoch, f.start_id, f.sequence_filenode, f.never_ring, f.table_oid as relation_oid,
    pg_catalog.quote_ident(f.nspname) || '.' || pg_catalog.quote_ident(f.relname) as relation,
    pg_catalog.quote_ident(f.id_column) as id_column, f.id_type,
    pg_catalog.quote_ident(f.room_column) as room_column, f.room_type, f.room_typmod,
    s.names as columns, case when f.columns is not null then s.quoted end as payload_columns,
    f.id_sequence::oid as id_sequence_oid, f.bell::oid as bell_oid,
    case
        when f.table_oid is null then 'its table is gone'
        when f.id_attnum is null then pg_catalog.format('its id column %I is gone', f.id_column)
        when f.room_attnum is null then pg_catalog.format('its room column %I is gone', f.room_column)
        when f.id_type not in (20, 21, 23) then
            pg_catalog.format('its id column is of type %s now', f.id_type::regtype)
        when f.room_type not in (20, 21, 23, 25, 1043, 2950) then
            pg_catalog.format('its room column is of type %s now', f.room_type::regtype)
        when not f.room_strict then 'its room column has a nondeterministic collation now'
        when pg_catalog.cardinality(s.names) < pg_catalog.cardinality(f.columns) then pg_catalog.format('columns are gone: %s',
            (select string_agg(c, ', ') from unnest(f.columns) c where c <> all (s.names)))
        when rowcast.sequence_of(f.relation, f.id_column) is distinct from f.id_sequence then
            'its ids are drawn from another sequence now, or from none'
        when not exists (select from pg_catalog.pg_class where oid = f.bell) then 'its bell is gone'
        when not pg_catalog.has_schema_privilege(f.nspname, 'usage') then
            pg_catalog.format('role %I may not use schema %I', current_user, f.nspname)
        when not (s.readable and pg_catalog.has_column_privilege(f.table_oid, f.id_attnum, 'select')
                  and pg_catalog.has_column_privilege(f.table_oid, f.room_attnum, 'select')) then
            pg_catalog.format('role %I may not read it: grant select on %I.%I to %1$I;', current_user, f.nspname, f.relname)
        when not pg_catalog.has_sequence_privilege(f.id_sequence, 'select, usage') then
            pg_catalog.format('role %I may not read its sequence: grant select on sequence %s to %1$I;', current_user, f.id_sequence)
        when not pg_catalog.has_sequence_privilege(f.bell, 'update') then
            pg_catalog.format('role %I may not set its bell: grant update on sequence %s to %1$I;', current_user, f.bell)
        when not pg_catalog.has_sequence_privilege(f.bell, 'select, usage') then
            pg_catalog.format('role %I may not look at its bell: grant select on sequence %s to public;', current_user, f.bell)
        when pg_catalog.row_security_active(f.table_oid) then
            pg_catalog.format('row security applies to role %I, which would miss rows', current_user)
    end as broken
from found f left join sent s on s.name = f.name
order by f.ordinal
