-- The index that attach advises for rooms that are an expression, as PostgreSQL takes it for what the relay reads.

-- What works but will hurt: no index for a room's rows, ids that are unique in each partition only, an unlogged table, a
-- publication of all tables, triggers that change rows again. The newest rows of a room are looked for by key where that is one
-- integer. A room that is an expression is compared as the journal has it, by the bytes of its text: an index serves only with
-- that collation, whatever the column has.
create or replace function rowcast.attach_warnings(s rowcast.sources) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    with index as (
        select pg_get_indexdef(i.indexrelid, 1, false) as first, i.indcollation[0] as ordered_by,
               (select attname from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[1]) as second
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
        where i.indrelid = s.relation and i.indisvalid and i.indpred is null and m.amname = 'btree'
    ), maker as (
        select case relkind when 'p' then 'create index' else 'create index concurrently' end as make,
               coalesce('((' || s.room_expression || ') collate pg_catalog."C")', quote_ident(s.room_column)) as room,
               relpersistence
        from pg_class where oid = s.relation
    )
    select array_remove(array[
        case when s.id_column is not null
              and not exists (
                  select from index
                  where second = s.id_column
                    and case when s.room_expression is null then first = maker.room
                             else first in (s.room_expression, '(' || s.room_expression || ')')
                                  and ordered_by = 'pg_catalog."C"'::regcollation end) then
            format('no index on (%s, %I): %s of a room will scan the table. Make one: %s on %s (%1$s, %2$I);', room, s.id_column,
                   case when s.key_columns is null then 'replays' else 'reading the newest rows' end, make, s.relation) end,
        (select format('%I is unique only together with (%s), the partition key: of rows in several partitions with one id, '
                       'one would be lost. Ids that the sequence draws are never the same', s.id_column, array_to_string(b, ', '))
         from rowcast.unique_beside(s.relation, s.id_column) b where cardinality(b) > 0 and s.key_columns is null),
        case when relpersistence = 'u' and s.key_columns is null then
                 format('%s is unlogged: a crash of the server empties it, and its subscribers begin anew', s.relation)
             when relpersistence = 'u' then
                 format('%s is unlogged: a crash of the server empties it, which its subscribers are not told', s.relation) end,
        (select format('publication %I publishes all tables: its subscribers fail unless they have table %s, too', pubname, s.journal)
         from pg_publication where puballtables and s.key_columns is not null limit 1),
        (select format('trigger %I on %s: what it changes of the same rows is journaled before the statement that fired it. '
                       'Leave --per-statement away if it does', tgname, s.relation)
         from pg_trigger where tgrelid = s.relation and s.per_statement and not tgisinternal and tgtype & 1 = 1 and tgtype & 66 = 0 limit 1)
        ], null)
    from maker
$$;
