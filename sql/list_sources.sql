-- Every registered source as the catalog has it now, the first attached first. `broken` says why a source can't be followed by
-- this role, null if it can: a code, in words, and the statement that mends it where one does. Names come back quoted; the tail
-- puts them into its statements.
with found as (
    select s.*, t.attname as time_name, c.oid as table_oid, c.relowner, n.nspname, c.relname,
           i.attnum as id_attnum, i.atttypid as id_type, r.attnum as room_attnum, r.atttypid as room_now,
           r.atttypmod as room_typmod, o.collisdeterministic as room_strict,
           j.oid as journal_oid, j.relname as journal_name
    from rowcast.sources s
    left join pg_catalog.pg_class c on c.oid = s.relation
    left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    left join pg_catalog.pg_class j on j.oid = s.journal
    left join pg_catalog.pg_attribute i on i.attrelid = c.oid and i.attname = s.id_column and i.attnum > 0 and not i.attisdropped
    left join pg_catalog.pg_attribute r on r.attrelid = c.oid and r.attname = s.room_column and r.attnum > 0 and not r.attisdropped
    left join pg_catalog.pg_collation o on o.oid = r.attcollation
    -- Latency is measured where it can be; that it can't must not keep rows from being read. (timestamp, timestamptz)
    left join pg_catalog.pg_attribute t on t.attrelid = c.oid and t.attname = s.time_column and t.attnum > 0 and not t.attisdropped
                                       and t.atttypid in (1114, 1184)
                                       and pg_catalog.has_column_privilege(c.oid, t.attnum, 'select')
), sent as (
    select f.name, array_agg(a.attname::text order by coalesce(array_position(f.columns, a.attname::text), a.attnum)) as names,
           array_agg(pg_catalog.quote_ident(a.attname) order by coalesce(array_position(f.columns, a.attname::text), a.attnum)) as quoted,
           bool_and(pg_catalog.has_column_privilege(f.table_oid, a.attnum, 'select')) as readable
    from found f join pg_catalog.pg_attribute a on a.attrelid = f.table_oid and a.attnum > 0 and not a.attisdropped
    where f.columns is null or a.attname = any (f.columns)
    group by f.name
), keyed as (
    -- The key's columns of a journal, with the operator that the type's own index order calls equal (citext has its own).
    select f.name, array_agg(k.column_name order by k.nr) as names,
           array_agg(rowcast.type_name(t.oid) order by k.nr) as types,
           array_agg(coalesce(e.operator, 'operator(pg_catalog.=)') order by k.nr) as equals,
           bool_and(a.atttypid is not distinct from k.column_type) as as_registered,
           coalesce(bool_and(pg_catalog.has_column_privilege(f.table_oid, a.attnum, 'select')), false) as readable
    from found f
    cross join lateral unnest(f.key_columns, f.key_types) with ordinality k (column_name, column_type, nr)
    left join pg_catalog.pg_attribute a on a.attrelid = f.table_oid and a.attname = k.column_name and a.attnum > 0
                                       and not a.attisdropped
    left join pg_catalog.pg_type t on t.oid = a.atttypid
    left join lateral (
        select pg_catalog.format('operator(%I.%s)', p.nspname, q.oprname) as operator
        from pg_catalog.pg_opclass d
        join pg_catalog.pg_am m on m.oid = d.opcmethod and m.amname = 'btree'
        join pg_catalog.pg_amop w on w.amopfamily = d.opcfamily and w.amopstrategy = 3
                                 and w.amoplefttype = d.opcintype and w.amoprighttype = d.opcintype
        join pg_catalog.pg_operator q on q.oid = w.amopopr
        join pg_catalog.pg_namespace p on p.oid = q.oprnamespace
        where d.opcdefault and d.opcintype = coalesce(nullif(t.typbasetype, 0::oid), t.oid)
    ) e on true
    group by f.name
)
select f.name, f.ordinal, f.epoch, f.revision, f.start_id, f.sequence_filenode, f.never_ring, f.table_oid as relation_oid,
    pg_catalog.quote_ident(f.nspname) || '.' || pg_catalog.quote_ident(f.relname) as relation,
    pg_catalog.quote_ident(f.id_column) as id_column,
    pg_catalog.quote_ident(f.room_column) as room_column, f.room_expression,
    case when f.room_expression is null then rowcast.text_of(pg_catalog.quote_ident(f.room_column), f.room_type)
         else pg_catalog.format('(%s)::pg_catalog.text', f.room_expression) end as room_text, f.room_now as room_type, f.room_typmod, coalesce(f.room_strict, true) as room_strict,
    s.names as columns, case when f.columns is not null then s.quoted end as payload_columns,
    f.id_sequence::oid as id_sequence_oid, f.bell::oid as bell_oid,
    pg_catalog.quote_ident(f.time_name) as time_column,
    f.changes, f.journal_oid, 'rowcast.' || pg_catalog.quote_ident(f.journal_name) as journal,
    coalesce(f.keep_rows || ' rows', f.keep_for::text) as keep, f.always, f.per_statement,
    k.names as key_columns, k.types as key_types, k.equals as key_equals,
    case
        when f.table_oid is null then array['table_gone', 'its table is gone']
        when f.id_column is not null and f.id_attnum is null then
            array['column_gone', pg_catalog.format('its id column %I is gone', f.id_column)]
        when f.room_attnum is null then array['column_gone', pg_catalog.format('its room column %I is gone', f.room_column)]
        when f.journal is null and f.id_type not in (20, 21, 23) then
            array['column_type', pg_catalog.format('its id column is of type %s now', f.id_type::regtype)]
        when f.journal is null and f.room_now not in (20, 21, 23, 25, 1043, 2950) or f.room_expression is null and f.room_now <> f.room_type then
            array['column_type', pg_catalog.format('its room column is of type %s now', f.room_now::regtype)]
        when f.journal is null and not f.room_strict then
            array['column_type', 'its room column has a nondeterministic collation now']
        when f.journal is not null and f.journal_oid is null then
            array['journal_gone', 'its journal is gone', 'attach the table again']
        when f.journal is not null and not k.as_registered then array['column_gone', pg_catalog.format(
            'a column of its key (%s) is gone or of another type now', array_to_string(f.key_columns, ', ')), 'attach the table again']
        when pg_catalog.cardinality(s.names) < pg_catalog.cardinality(f.columns) then
            array['column_gone', pg_catalog.format('columns are gone: %s',
                (select string_agg(c, ', ') from unnest(f.columns) c where c <> all (s.names)))]
        when f.journal is null and rowcast.sequence_of(f.relation, f.id_column) is distinct from f.id_sequence then
            array['no_sequence', 'its ids are drawn from another sequence now, or from none']
        when not exists (select from pg_catalog.pg_class where oid = f.bell) then array['bell_gone', 'its bell is gone']
        when not pg_catalog.has_schema_privilege(f.nspname, 'usage') then
            array['missing_privilege', pg_catalog.format('role %I may not use schema %I', current_user, f.nspname),
                  pg_catalog.format('grant usage on schema %I to %I;', f.nspname, current_user)]
        when not (s.readable and pg_catalog.has_column_privilege(f.table_oid, f.room_attnum, 'select')
                  and coalesce(pg_catalog.has_column_privilege(f.table_oid, f.id_attnum, 'select'), k.readable)
                  and coalesce(k.readable, true)) then
            array['missing_privilege', pg_catalog.format('role %I may not read it', current_user),
                  pg_catalog.format('grant select on %I.%I to %I;', f.nspname, f.relname, current_user)]
        -- Of a list of privileges one would do.
        when not coalesce(pg_catalog.has_table_privilege(f.journal_oid, 'select')
                          and pg_catalog.has_table_privilege(f.journal_oid, 'delete'), true) then
            array['missing_privilege', pg_catalog.format('role %I may not read its journal', current_user),
                  pg_catalog.format('grant select, delete on rowcast.%I to %I;', f.journal_name, current_user)]
        when not pg_catalog.has_sequence_privilege(f.id_sequence, 'select, usage') then
            array['missing_privilege', pg_catalog.format('role %I may not read its sequence', current_user),
                  pg_catalog.format('grant select on sequence %s to %I;', f.id_sequence, current_user)]
        when not coalesce(pg_catalog.has_sequence_privilege(f.skip_sequence, 'select, usage'), true) then
            array['missing_privilege', pg_catalog.format('role %I may not read its sequence', current_user),
                  pg_catalog.format('grant select on sequence %s to %I;', f.skip_sequence, current_user)]
        when not pg_catalog.has_sequence_privilege(f.bell, 'update') then
            array['missing_privilege', pg_catalog.format('role %I may not set its bell', current_user),
                  pg_catalog.format('grant update on sequence %s to %I;', f.bell, current_user)]
        when not pg_catalog.has_sequence_privilege(f.bell, 'select, usage') then
            array['missing_privilege', pg_catalog.format('role %I may not look at its bell', current_user),
                  pg_catalog.format('grant select on sequence %s to public;', f.bell)]
        when pg_catalog.row_security_active(f.table_oid) then
            array['row_security', pg_catalog.format('row security applies to role %I, which would miss rows', current_user)]
    end as broken
from found f
left join sent s on s.name = f.name
left join keyed k on k.name = f.name
order by f.ordinal
