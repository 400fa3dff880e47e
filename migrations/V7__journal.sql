-- Sources with a journal: a table of ours that a row trigger writes, one entry for each change, followed in place of the
-- attached table. It serves every operation and any key. A source without one is direct, as all were before.

alter table rowcast.sources
    alter column id_column drop not null,                    -- with a journal: the key, if that is one integer column
    add column changes text[] not null default '{insert}' check (changes in ('{insert}', '{update}', '{delete}',
        '{insert,update}', '{insert,delete}', '{update,delete}', '{insert,update,delete}')),
    add column journal regclass,                             -- null: direct. id_sequence is the journal's own then
    add column key_columns text[],                           -- null if direct, like all that follows up to keep_rows
    add column key_types regtype[],                          -- as registered: the trigger writes no others
    add column room_type regtype,                            -- of room_column, as registered
    add column room_expression text,                         -- SQL over the bare room_column; null: that column itself
    add column keep_for interval,                            -- this or keep_rows: how much of the journal is kept
    add column keep_rows bigint,
    add column always boolean not null default false,        -- triggers fire for replicated changes, too
    add column per_statement boolean not null default false, -- transition tables instead of a row trigger
    add column pruned_to bigint not null default 0,          -- every entry up to here may be gone
    add column skip_sequence regclass,                       -- counts what the trigger could not write
    add column skips bigint not null default 0,              -- its value when the epoch began
    add column revision bigint not null default 0;           -- raised by every attach that changes what tails read

-- A name that is detached and attached again must not come back to a revision that somebody still holds.
alter table rowcast.sources alter column revision set default floor(random() * (2::float8 ^ 47))::bigint;

-- One row for each TRUNCATE of a partition of a table with a journal; `truncations` of the source is how many its epoch knows.
create table rowcast.truncations (
    source text not null,
    at     timestamptz not null default clock_timestamp()
);
create index on rowcast.truncations (source);
alter table rowcast.truncations replica identity full;
alter table rowcast.sources add column truncations bigint not null default 0;

-- No more than names: whoever follows or attaches counts them.
grant select on rowcast.truncations to public;

comment on table rowcast.truncations is 'TRUNCATEs of partitions, whose rows vanish without an entry in the journal.';
comment on column rowcast.sources.revision is 'A tail that holds statements of another revision throws its read away.';

-- A room as attach understood it: a column, or an expression over one column; the column's type.
create type rowcast.room as (column_name text, expression text, type regtype);

-- The columns that name a row: of the primary key, else of a unique index that is total, valid, checked at once, without
-- expressions and over columns that are not null. `wanted` asks for one column. Null if there are none.
create function rowcast.key_of(relation regclass, wanted text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select k.names from (
        select i.indexrelid, i.indisprimary, i.indisreplident, i.indnkeyatts,
               array(select a.attname::text from unnest(i.indkey::smallint[]) with ordinality c (attnum, nr)
                     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = c.attnum and a.attnotnull
                     where c.nr <= i.indnkeyatts order by c.nr) as names
        from pg_index i
        where i.indrelid = relation and i.indisunique and i.indimmediate and i.indisvalid and not i.indisexclusion
          and i.indpred is null and i.indexprs is null
    ) k
    where cardinality(k.names) = k.indnkeyatts and (wanted is null or k.names = array[wanted])
    order by k.indisprimary desc, k.indisreplident desc, k.indnkeyatts, k.indexrelid limit 1
$$;

-- What --keep says, as (keep_for, keep_rows): '7d', '12 hours', or '100000 rows'.
create function rowcast.keep_of(keep text, out keep_for interval, out keep_rows bigint)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if keep ~ '^\s*\d+\s*rows?\s*$' then
        keep_rows := substring(keep from '\d+')::bigint;
    else
        keep_for := keep::interval;
    end if;
    if keep_rows < 1 or keep_for <= interval '0' then
        raise 'nothing would be kept';
    end if;
exception when others then
    perform rowcast.refuse('invalid_parameter_value', format('%L does not say how much of a journal to keep (%s)', keep, sqlerrm),
        'Give a time or a number of entries: --keep 7d, --keep ''100000 rows'', in SQL keep => ''7d''.');
end
$$;

-- The type that a domain stands on, at the bottom; any other type is its own.
create function rowcast.base_type(wanted regtype) returns regtype
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive base as (
        select oid, typtype, typbasetype from pg_type where oid = wanted
        union all
        select t.oid, t.typtype, t.typbasetype from base join pg_type t on t.oid = base.typbasetype where base.typtype = 'd'
    )
    select oid::regtype from base where typtype <> 'd'
$$;

-- Whether the columns that a journal's trigger reads are there, of the types that were registered (that of the column in a
-- room expression is not).
create function rowcast.columns_as_registered(s rowcast.sources) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select not exists (
        select from unnest(s.key_columns || s.room_column || s.columns, s.key_types || case when s.room_expression is null then s.room_type end) c (name, type)
        where not exists (select from pg_attribute a where a.attrelid = s.relation and a.attname = c.name and a.attnum > 0
                          and not a.attisdropped and a.atttypid = coalesce(c.type, a.atttypid)))
$$;

-- A type as code names it whatever the search_path.
create function rowcast.type_name(wanted regtype) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('%I.%I', n.nspname, t.typname) from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = wanted
$$;

-- Does a value of this type have the same text in every session, whatever its settings?
create function rowcast.is_plain_text(wanted regtype) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select typcategory in ('S', 'B', 'E') or oid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype,
                                                     'numeric'::regtype, 'uuid'::regtype)
    from pg_type where oid = rowcast.base_type(wanted)
$$;

-- What a generated column depends on. PostgreSQL 15 and later note it for the expression, earlier ones for the column.
create function rowcast.uses(relation regclass, generated smallint) returns setof pg_depend
language sql stable set search_path = pg_catalog, pg_temp as $$
    select d from pg_depend d
    where d.classid = 'pg_attrdef'::regclass and d.objid in (select oid from pg_attrdef where adrelid = relation and adnum = generated)
       or d.classid = 'pg_class'::regclass and d.objid = relation and d.objsubid = generated
$$;

-- The room expression that stands in the scratch table's generated column, as PostgreSQL writes it where no schema is on
-- the search_path. The trigger evaluates it with the rights of whoever attached, so what it calls must be theirs.
create function rowcast.room_in_scratch(scratch regclass, typed regclass, relation regclass) returns rowcast.room
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    answer rowcast.room;
    own_attnum smallint;
    deparsed text;
    foreign_owner record;
    result regtype;
    used text[];
begin
    select a.attnum, pg_get_expr(f.adbin, f.adrelid) into own_attnum, deparsed
    from pg_attribute a join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
    where a.attrelid = scratch and a.attgenerated = 's';
    select array_agg(distinct a.attname::text) into used
    from rowcast.uses(scratch, own_attnum) d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.refclassid = 'pg_class'::regclass and d.refobjid = scratch and d.refobjsubid <> own_attnum;
    if cardinality(used) is distinct from 1 then
        perform rowcast.refuse('invalid_column_definition', format('the room %s is made of %s columns of %s', deparsed,
                coalesce(cardinality(used), 0), relation),
            'A room is a column or an expression over exactly one: --room ''lower(tenant)''. '
            'A generated column can join several.');
    end if;
    select o.what, o.owner into foreign_owner from rowcast.uses(scratch, own_attnum) d
    cross join lateral (
        select p.oid::regprocedure::text, p.proowner from pg_proc p where d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
        union all
        select p.oprcode::regprocedure::text, f.proowner from pg_operator p join pg_proc f on f.oid = p.oprcode
        where d.refclassid = 'pg_operator'::regclass and p.oid = d.refobjid
        union all
        select t.oid::regtype::text, t.typowner from pg_type t where d.refclassid = 'pg_type'::regclass and t.oid = d.refobjid
    ) o (what, owner)
    join pg_roles r on r.oid = o.owner
    where not r.rolsuper and r.rolname <> current_user limit 1;
    if foreign_owner is not null then
        perform rowcast.refuse('insufficient_privilege', format('the room %s uses %s, which is role %s''s and would run with the '
                'rights of role %I', deparsed, foreign_owner.what, foreign_owner.owner::regrole, current_user),
            format('Attach as role %s, or let role %I own it.', foreign_owner.owner::regrole, current_user));
    end if;
    answer.column_name := used[1];
    select rowcast.base_type(atttypid) into result from pg_attribute where attrelid = typed and attnum = 1;
    if result::oid >= 16384 then
        perform rowcast.refuse('datatype_mismatch', format('the room %s is of type %s', deparsed, result),
            'A room is text: end the expression with ::text.');
    end if;
    -- Brackets or quotes around a column's name are no expression.
    answer.expression := nullif(deparsed, quote_ident(used[1]));
    answer.type := rowcast.column_type(relation, used[1]);
    return answer;
end
$$;

-- The room as it was given: literally the name of a column, else an expression over one, read on the caller's search_path.
-- PostgreSQL itself reads it, as a generated column of an empty copy of the table: immutable, and without a subquery.
create function rowcast.room_named(relation regclass, room text) returns rowcast.room language plpgsql as $$
declare
    answer rowcast.room;
    state text;
    words text;
begin
    select a.attname, null, a.atttypid into answer from pg_catalog.pg_attribute a
    where a.attrelid operator(pg_catalog.=) relation and a.attname operator(pg_catalog.=) room::pg_catalog.name
      and a.attnum operator(pg_catalog.>) 0::pg_catalog.int2 and not a.attisdropped;
    if answer.column_name is not null then
        return answer;
    end if;
    perform rowcast.refuse_server();
    perform rowcast.refuse_table(relation);
    if room is null or room operator(pg_catalog.~) '^[[:alpha:]_][[:alnum:]_$]*$' then
        perform rowcast.column_type(relation, room);
    end if;
    begin
        execute pg_catalog.format('create temporary table rowcast_scratch (like %s)', relation);
        execute pg_catalog.format('create temporary table rowcast_typed as select (%s) from pg_temp.rowcast_scratch with no data', room);
        execute pg_catalog.format('alter table pg_temp.rowcast_scratch add column "rowcast room" %s generated always as (%s) stored',
            (select rowcast.type_name(a.atttypid) from pg_catalog.pg_attribute a
             where a.attrelid operator(pg_catalog.=) 'pg_temp.rowcast_typed'::pg_catalog.regclass
               and a.attnum operator(pg_catalog.=) 1::pg_catalog.int2), room);
    exception when others then
        get stacked diagnostics state = returned_sqlstate, words = message_text;
        perform rowcast.refuse(state, pg_catalog.format('%s has no column %I, and it is no expression for a room: %s', relation, room, words),
            'A room is a column or an immutable expression over one: --room ''lower(tenant)''. It is read as a generated column of a '
            'temporary table.');
    end;
    answer := rowcast.room_in_scratch('pg_temp.rowcast_scratch', 'pg_temp.rowcast_typed', relation);
    drop table pg_temp.rowcast_scratch, pg_temp.rowcast_typed;
    return answer;
end
$$;
