-- What attach refuses, each with the reason and the remedy. These functions change nothing.

create function rowcast.refuse(code text, problem text, remedy text) returns void language plpgsql as $$
begin
    raise exception using errcode = code, message = problem, hint = remedy;
end
$$;

-- The server: PostgreSQL 13 or later, and the functions that the triggers' conditions call are everybody's.
create function rowcast.refuse_server() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    fn regprocedure;
begin
    if current_setting('server_version_num')::int < 130000 or version() ~* 'cockroach|yugabyte|-YB-|redshift|greenplum'
       or exists (select from pg_extension where extname = 'citus') then
        perform rowcast.refuse('feature_not_supported', format('not a PostgreSQL 13 or later of its own: %s%s', version(),
                    (select ' with Citus' from pg_extension where extname = 'citus')),
                'Rowcast reads PostgreSQL''s own transaction ids, which other and distributed databases don''t keep.');
    end if;
    foreach fn in array array['pg_current_xact_id()', 'has_sequence_privilege(oid,text)', 'pg_sequence_last_value(regclass)',
                              'pg_notify(text,text)', 'pg_notification_queue_usage()']::regprocedure[] loop
        if not has_function_privilege('public', fn, 'execute') then
            perform rowcast.refuse('insufficient_privilege', format('public may not execute %s', fn),
                format('Every insert would fail without it: grant execute on function pg_catalog.%s to public;', fn));
        end if;
    end loop;
end
$$;

-- The table: an ordinary or partitioned one, permanent, not a partition itself, and within the caller's rights.
create function rowcast.refuse_table(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    c pg_class;
    parent regclass;
begin
    select * into c from pg_class where oid = relation;
    if c.relkind not in ('r', 'p') then
        perform rowcast.refuse('wrong_object_type', format('%s is a %s, not a table', relation, case c.relkind
                when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table'
                when 'S' then 'sequence' when 'i' then 'index' when 'I' then 'index' else 'type' end),
            'Attach the table whose rows are inserted.');
    elsif c.relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'rowcast'::regnamespace) then
        perform rowcast.refuse('wrong_object_type', format('%s is no table of an application', relation),
            'Attach a table that your application inserts into.');
    elsif c.relpersistence = 't' then
        perform rowcast.refuse('wrong_object_type', format('%s is a temporary table', relation),
            'Other sessions can''t see its rows: attach a permanent table.');
    elsif c.relispartition then
        select inhparent::regclass into parent from pg_inherits where inhrelid = relation;
        perform rowcast.refuse('wrong_object_type', format('%s is a partition of %s', relation, parent),
            format('Inserts into the whole table would go unseen: attach %s.', parent));
    elsif exists (select from rowcast.members(relation) m
                  where not has_table_privilege(m, 'trigger') or not has_table_privilege(m, 'update, delete, truncate')) then
        perform rowcast.refuse('insufficient_privilege', format('role %I may not make triggers on %s', current_user, relation),
            format('Attach as its owner, role %I, or: grant trigger, update on %s (and its partitions) to %I;',
                   c.relowner::regrole::text, relation, current_user));
    elsif not has_schema_privilege('rowcast', 'create') or not has_table_privilege('rowcast.sources', 'insert')
          or not has_table_privilege('rowcast.positions', 'delete') then
        perform rowcast.refuse('insufficient_privilege', format('role %I may not write the registry of Rowcast', current_user),
            format('Attach as role %s, or: grant create on schema rowcast to %I; '
                   'grant select, insert, update, delete on rowcast.sources, rowcast.positions to %2$I;',
                   (select nspowner::regrole from pg_namespace where nspname = 'rowcast'), current_user));
    end if;
end
$$;

-- Dropping a trigger: PostgreSQL lets the table's owner alone do that, also where another role could make it.
create function rowcast.refuse_drop(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    owner oid := (select relowner from pg_class where oid = relation);
begin
    if not pg_has_role(owner, 'usage') then
        perform rowcast.refuse('insufficient_privilege',
            format('role %I may not drop the triggers of %s, which is not its own', current_user, relation),
            format('Do it as the table''s owner, role %s, or: grant %1$s to %I;', owner::regrole, current_user));
    end if;
end
$$;

-- The id column: the one that was named, else the one-column primary key. It must be of an integer type.
create function rowcast.id_column_of(relation regclass, wanted text) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    keys text[];
    found_type regtype;
begin
    if wanted is null then
        select array_agg(a.attname::text order by k.nr) into keys
        from pg_index i, unnest(i.indkey) with ordinality k (attnum, nr), pg_attribute a
        where i.indrelid = relation and i.indisprimary and k.nr <= i.indnkeyatts
          and a.attrelid = relation and a.attnum = k.attnum;
        if cardinality(keys) is distinct from 1 then
            perform rowcast.refuse('invalid_table_definition', format('%s has %s', relation, case when keys is null
                    then 'no primary key' else format('a primary key of %s columns (%s)', cardinality(keys),
                    array_to_string(keys, ', ')) end),
                'Name the column that a sequence numbers: --id COLUMN, in SQL id => ''COLUMN''.');
        end if;
        wanted := keys[1];
    end if;
    found_type := rowcast.column_type(relation, wanted);
    if found_type not in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) then
        perform rowcast.refuse('datatype_mismatch', format('id column %I of %s is of type %s', wanted, relation, found_type),
            'Rows are followed by an id from a sequence (smallint, integer, bigint). Another column may serve: --id COLUMN; '
            || format('or make one: alter table %s add column seq bigint generated always as identity;', relation));
    end if;
    return wanted;
end
$$;

-- The type of a column; refuses one that is missing.
create function rowcast.column_type(relation regclass, wanted text) returns regtype
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    answer regtype;
begin
    select atttypid into answer from pg_attribute
    where attrelid = relation and attname = wanted and attnum > 0 and not attisdropped;
    if answer is null then
        perform rowcast.refuse('undefined_column', format('%s has no column %I', relation, wanted), format(
            'Column names are written literally, without quotes. It has: %s.', (select string_agg(attname, ', ' order by attnum)
             from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped)));
    end if;
    return answer;
end
$$;

-- The room column: its text must name the room, one text for equal values.
create function rowcast.refuse_room(relation regclass, room text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    room_type regtype := rowcast.column_type(relation, room);
    loose text;
begin
    if room_type not in ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype, 'smallint'::regtype, 'integer'::regtype,
                         'bigint'::regtype) then
        perform rowcast.refuse('datatype_mismatch', format('room column %I of %s is of type %s', room, relation, room_type),
            'A room is a text, varchar, uuid, smallint, integer or bigint. A generated column can give one: '
            || format('alter table %s add column room text generated always as (%I::text) stored;', relation, room));
    end if;
    select c.oid::regcollation::text into loose from pg_attribute a join pg_collation c on c.oid = a.attcollation
    where a.attrelid = relation and a.attname = room and not c.collisdeterministic;
    if loose is not null then
        perform rowcast.refuse('collation_mismatch',
            format('room column %I of %s has the nondeterministic collation %s', room, relation, loose),
            'Texts that differ would be equal, and a room must have one name. Give the column a deterministic collation.');
    end if;
end
$$;

-- The columns to send, null for all of them: each once, each there.
create function rowcast.refuse_columns(relation regclass, columns text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform rowcast.column_type(relation, c) from unnest(columns) c;
    if cardinality(columns) = 0 or cardinality(columns) > (select count(distinct c) from unnest(columns) c) then
        perform rowcast.refuse('invalid_parameter_value', 'the list of columns is empty or names one twice',
            'Leave --columns away to send every column, or name each once.');
    end if;
end
$$;

-- The source's name: the one given, else the bare table name where it can be one; refuses one that another table has.
create function rowcast.source_name_of(relation regclass, wanted text) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    answer text := coalesce(wanted, (select relname from pg_class where oid = relation));
    holder regclass;
begin
    if answer !~ '^[a-z0-9_-]{1,40}$' then
        perform rowcast.refuse('invalid_name', format('%L can''t be the name of a source', answer),
            'Give one of 1 to 40 characters from a-z, 0-9, _ and -: --source NAME, in SQL source => ''NAME''.');
    end if;
    select s.relation into holder from rowcast.sources s join pg_class c on c.oid = s.relation
    where s.name = answer and s.relation <> source_name_of.relation;
    if holder is not null then
        perform rowcast.refuse('duplicate_object', format('source %s is table %s already', answer, holder),
            format('Choose another name (--source NAME), or: select rowcast.detach(%L);', answer));
    end if;
    return answer;
end
$$;
