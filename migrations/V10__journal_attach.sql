-- attach for both kinds of source. It first writes down the registry's row as it should be, then makes the database so.

drop function rowcast.attach(text, text, text, text[], text, boolean);
drop function rowcast.attach_report(regclass, text, text, text[], text, boolean);
drop function rowcast.attach_locked(regclass, text, text, text[], text, boolean);
drop function rowcast.attach_warnings(regclass, text, text);
drop function rowcast.refuse_room(regclass, text);

-- The room: of a direct source a column whose text names the room, one text for equal values; of a journal, which writes that
-- text down, a column of any type or an expression.
create function rowcast.refuse_room(relation regclass, room rowcast.room, has_journal boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    loose text;
begin
    if not has_journal and room.expression is not null then
        perform rowcast.refuse('feature_not_supported', format('the room %s is an expression', room.expression),
            'That needs a journal: --journal, in SQL journal => true. Or make a generated column of it.');
    elsif not has_journal and room.type not in ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype, 'smallint'::regtype,
                                                'integer'::regtype, 'bigint'::regtype) then
        perform rowcast.refuse('datatype_mismatch', format('room column %I of %s is of type %s', room.column_name, relation, room.type),
            'A room is a text, varchar, uuid, smallint, integer or bigint; with a journal (--journal) of any type. '
            || format('A generated column can give one: alter table %s add column room text generated always as (%I::text) stored;',
                      relation, room.column_name));
    end if;
    select c.oid::regcollation::text into loose from pg_attribute a join pg_collation c on c.oid = a.attcollation
    where a.attrelid = relation and a.attname = room.column_name and room.expression is null and not c.collisdeterministic;
    if loose is not null then
        perform rowcast.refuse('collation_mismatch',
            format('room column %I of %s has the nondeterministic collation %s', room.column_name, relation, loose),
            'Texts that differ would be equal, and a room must have one name. Give the column a deterministic collation.');
    end if;
end
$$;

-- The changes that are wanted, each once and in the order insert, update, delete.
create function rowcast.changes_of(wanted text[]) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    known text[] := '{insert,update,delete}';
begin
    if cardinality(wanted) = 0 or not coalesce(wanted <@ known, false) then
        perform rowcast.refuse('invalid_parameter_value', format('%s are no changes of rows', coalesce(wanted::text, 'null')),
            'Some of insert, update and delete: --changes insert,update,delete, in SQL changes => ''{insert,update,delete}''.');
    end if;
    return array(select c from unnest(known) with ordinality k (c, nr) where c = any (wanted) order by nr);
end
$$;

-- What a journal's options ask for and can't have. `keep` is as it was given.
create function rowcast.refuse_options(s rowcast.sources, keep text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    problem text;
begin
    if s.key_columns is null then
        if s.always or s.per_statement or keep is distinct from '7d' then
            perform rowcast.refuse('invalid_parameter_value', 'keep, always and per_statement are options of a journal',
                'Ask for one: --journal, or --changes with update or delete; in SQL journal => true.');
        end if;
        return;
    end if;
    if 'insert' <> all (s.changes) and (select relkind = 'p' from pg_class where oid = s.relation) then
        perform rowcast.refuse('feature_not_supported', format('%s is partitioned, and a row that moves to another partition is '
                'deleted and inserted to its triggers', s.relation), 'Ask for inserts, too: --changes insert,update,delete.');
    end if;
    problem := case when not s.per_statement then null
        when s.always then 'always: what is replicated fires row triggers only'
        when s.room_expression is not null then format('the room %s: an expression that fails on one value would fail the statement', s.room_expression)
        when (select relkind = 'p' from pg_class where oid = s.relation) then 'a partitioned table: statements that name a partition would go unseen'
        end;
    if problem is not null then
        perform rowcast.refuse('feature_not_supported', format('per_statement can''t be had with %s', problem),
            'Leave --per-statement away: a row trigger serves this, too.');
    end if;
end
$$;

-- The registry's row of a source as this attach wants it, `old` being the one there is; journal and bell are to be made. With a
-- journal, `id_column` is set where the key is one integer column: rows have an order by key then.
create function rowcast.wanted_source(
    tbl regclass, room rowcast.room, id text, cols text[], src text, never boolean, changes text[], has_journal boolean, keep text,
    always boolean, per_statement boolean, old rowcast.sources) returns rowcast.sources
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    s rowcast.sources;
begin
    s.name := src;
    s.relation := tbl;
    s.room_column := room.column_name;
    s.columns := cols;
    s.changes := changes;
    s.bell := old.bell;
    s.never_ring := coalesce(never, old.never_ring, current_setting('max_prepared_transactions')::int > 0);
    s.always := coalesce(always, false);
    s.per_statement := coalesce(per_statement, false);
    if not has_journal then
        s.id_column := rowcast.id_column_of(tbl, id);
        s.id_sequence := rowcast.sequence_of(tbl, s.id_column);
        return s;
    end if;
    perform rowcast.column_type(tbl, id) where id is not null;
    s.key_columns := rowcast.key_of(tbl, id);
    if s.key_columns is null then
        perform rowcast.refuse('invalid_table_definition', format('%s has no key%s', tbl, ' in column ' || quote_ident(id)),
            'An entry of a journal names its row by the primary key, or by a unique index that is neither partial nor deferrable, '
            || 'has no expressions, and whose columns are all not null. '
            || format('Make one: alter table %s add column id bigint generated always as identity primary key;', tbl));
    end if;
    s.key_types := array(select rowcast.column_type(tbl, k.name) from unnest(s.key_columns) with ordinality k (name, nr) order by k.nr);
    s.id_column := case when cardinality(s.key_columns) = 1
                         and s.key_types[1] in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) then s.key_columns[1] end;
    s.room_type := room.type;
    s.room_expression := room.expression;
    select k.keep_for, k.keep_rows into s.keep_for, s.keep_rows from rowcast.keep_of(keep) k;
    s.journal := old.journal;
    s.skip_sequence := old.skip_sequence;
    s.id_sequence := old.id_sequence;
    return s;
end
$$;

-- Whether a source begins anew: what was journaled or numbered before does not serve the source that is wanted now, or the
-- journal lacks what its trigger had to skip.
create function rowcast.begins_anew(old rowcast.sources, s rowcast.sources) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select (old.relation, old.id_column, old.room_column, old.room_expression, old.room_type, old.key_columns, old.key_types, old.changes)
               is distinct from (s.relation, s.id_column, s.room_column, s.room_expression, s.room_type, s.key_columns, s.key_types, s.changes)
        or s.key_columns is null and old.id_sequence is distinct from s.id_sequence
        or s.key_columns is not null and (
            (select count(*) from pg_class where oid in (old.journal, old.skip_sequence)) < 2
            or coalesce(pg_sequence_last_value(old.skip_sequence), 0) <> old.skips)
$$;

-- What attaching again makes of a source in place, in words.
create function rowcast.differences(old rowcast.sources, s rowcast.sources) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_remove(array[
        case when old.columns is distinct from s.columns then format('source %s sends %s', s.name,
                coalesce(array_to_string(s.columns, ', '), 'every column')) end,
        case when old.never_ring <> s.never_ring then format('source %s %s', s.name, case when s.never_ring then 'never rings' else 'rings' end) end,
        case when (old.keep_for, old.keep_rows) is distinct from (s.keep_for, s.keep_rows) then
            format('source %s keeps %s', s.name, coalesce(s.keep_for::text, s.keep_rows || ' rows')) end,
        case when old.always <> s.always then format('source %s journals %s', s.name,
                case when s.always then 'replicated changes, too' else 'no replicated changes' end) end,
        case when old.per_statement <> s.per_statement then format('source %s journals %s', s.name,
                case when s.per_statement then 'each statement at once' else 'row by row' end) end], null)
$$;

-- What works but will hurt: no index for a room's rows, ids that are unique in each partition only, an unlogged table, a
-- publication of all tables, triggers that change rows again. The newest rows of a room are looked for by key where that is one integer.
create function rowcast.attach_warnings(s rowcast.sources) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    with index as (
        select pg_get_indexdef(i.indexrelid, 1, false) as first,
               (select attname from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[1]) as second
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
        where i.indrelid = s.relation and i.indisvalid and i.indpred is null and m.amname = 'btree'
    ), maker as (
        select case relkind when 'p' then 'create index' else 'create index concurrently' end as make,
               coalesce('(' || s.room_expression || ')', quote_ident(s.room_column)) as room, relpersistence from pg_class where oid = s.relation
    )
    select array_remove(array[
        case when s.id_column is not null
              and not exists (select from index where second = s.id_column and first in (maker.room, s.room_expression)) then
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

-- Writes the registry's row and makes bell, journal and triggers under the table's lock; returns what it changed, in words. That
-- lock is the proof that no insert is in flight, so every id up to the sequence's last value is closed: start_id. Where a trigger
-- must go, it is the lock that dropping one takes: to ask for more while writers wait would make them wait for readers. After the
-- table comes the registry's row, as in a TRUNCATE and in pruning, and only then a journal that goes.
create function rowcast.attach_locked(s rowcast.sources) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old rowcast.sources;
    anew boolean;
    done text[] := '{}';
    deadline timestamptz := rowcast.deadline();
    mode text := 'share row exclusive';
begin
    perform rowcast.lock_registry(deadline);
    perform rowcast.source_name_of(s.relation, s.name);
    select * into old from rowcast.sources o where o.name = s.name;
    -- Another attach may have come first; what it made is used.
    s.bell := old.bell;
    if s.key_columns is not null then
        s.journal := old.journal;
        s.id_sequence := old.id_sequence;
        s.skip_sequence := old.skip_sequence;
    end if;
    anew := rowcast.begins_anew(old, s);
    if exists (select from rowcast.triggers(s) t where t.state in ('wrong', 'surplus')) or anew and old.journal is not null then
        perform rowcast.refuse_drop(m) from rowcast.members(s.relation) m;
        mode := 'access exclusive';
    end if;
    perform rowcast.drop_unused();
    perform rowcast.lock_table(s.relation, mode, deadline);
    perform rowcast.wait_until(deadline);
    s.bell := rowcast.make_bell(s.name);
    if anew then
        s := rowcast.replace_source(old, s);
        done := done || case when old.name is null then format('attached %s as source %s', s.relation, s.name)
                                   else format('source %s begins anew (another table, id, key, room or kind of change)', s.name) end;
    else
        done := done || rowcast.differences(old, s);
        update rowcast.sources o set columns = s.columns, never_ring = s.never_ring, bell = s.bell, keep_for = s.keep_for,
            keep_rows = s.keep_rows, always = s.always, per_statement = s.per_statement,
            revision = o.revision + case when done = '{}' and o.bell = s.bell then 0 else 1 end
        where o.name = s.name;
    end if;
    if old.name is null or pg_sequence_last_value(s.bell) is null or s.never_ring or old.never_ring <> s.never_ring then
        perform setval(s.bell, case when s.never_ring then 0 else 1 end);
    end if;
    done := done || rowcast.install_triggers(s);
    perform pg_notify('rowcast', 'sources:');
    return done;
end
$$;

-- A source that is new or begins anew: a new epoch, no positions, and with a journal an empty one, under the old one's name if
-- that could be dropped. Returns the registry's row as it was written. The caller holds the table's lock.
create function rowcast.replace_source(old rowcast.sources, s rowcast.sources) returns rowcast.sources
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if old.journal is not null then
        perform rowcast.drop_triggers(m, s.name) from rowcast.members(s.relation) m;
        update rowcast.sources o set journal = null, skip_sequence = null where o.name = s.name;
        perform rowcast.drop_unused();
    end if;
    if s.key_columns is not null then
        s := rowcast.make_journal(s);
        s.start_id := 0;
    else
        s.sequence_filenode := pg_relation_filenode(s.id_sequence);
        s.start_id := coalesce(pg_sequence_last_value(s.id_sequence), 0);
    end if;
    s.epoch := 1 + floor(random() * (2::float8 ^ 47 - 1))::bigint;
    insert into rowcast.sources (name, relation, id_column, room_column, columns, id_sequence, sequence_filenode, bell, never_ring, epoch,
        start_id, changes, journal, key_columns, key_types, room_type, room_expression, keep_for, keep_rows, always, per_statement, skip_sequence, truncations)
    values (s.name, s.relation, s.id_column, s.room_column, s.columns, s.id_sequence, s.sequence_filenode, s.bell, s.never_ring, s.epoch,
        s.start_id, s.changes, s.journal, s.key_columns, s.key_types, s.room_type, s.room_expression, s.keep_for, s.keep_rows, s.always,
        s.per_statement, s.skip_sequence, (select count(*) from rowcast.truncations t where t.source = s.name))
    on conflict (name) do update set relation = excluded.relation, id_column = excluded.id_column, room_column = excluded.room_column,
        columns = excluded.columns, id_sequence = excluded.id_sequence, sequence_filenode = excluded.sequence_filenode,
        bell = excluded.bell, never_ring = excluded.never_ring, epoch = excluded.epoch, start_id = excluded.start_id,
        changes = excluded.changes, journal = excluded.journal, key_columns = excluded.key_columns, key_types = excluded.key_types,
        room_type = excluded.room_type, room_expression = excluded.room_expression, keep_for = excluded.keep_for,
        keep_rows = excluded.keep_rows, always = excluded.always, per_statement = excluded.per_statement,
        skip_sequence = excluded.skip_sequence, skips = 0, truncations = excluded.truncations, pruned_to = 0, revision = sources.revision + 1,
        attached_at = excluded.attached_at;
    delete from rowcast.positions where positions.source = s.name;
    return s;
end
$$;

-- Attaches and reports {"source","state","changes","warnings"}; state is attached, changed or unchanged. Takes no lock
-- when nothing is to be done, so that an application may call it at each of its starts. What is null is the default.
create function rowcast.attach_report(
    tbl regclass, room rowcast.room, id text, cols text[], source text, never boolean, wanted text[], journal boolean, keep text,
    always boolean, per_statement boolean) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    fault record;
    old rowcast.sources;
    s rowcast.sources;
    done text[] := '{}';
    kinds text[] := rowcast.changes_of(coalesce(wanted, '{insert}'));
    has_journal boolean := coalesce(journal, kinds <> '{insert}');
    own_timeout text := current_setting('lock_timeout');
begin
    perform rowcast.refuse_server();
    perform rowcast.refuse_table(tbl);
    if not has_journal and kinds <> '{insert}' then
        perform rowcast.refuse('invalid_parameter_value', 'updates and deletions need a journal', 'Leave journal => false away.');
    end if;
    select * into old from rowcast.sources o where o.name = rowcast.source_name_of(tbl, source);
    s := rowcast.wanted_source(tbl, room, id, cols, rowcast.source_name_of(tbl, source), never, kinds, has_journal, coalesce(keep, '7d'),
                               always, per_statement, old);
    perform rowcast.refuse_room(tbl, room, has_journal);
    perform rowcast.refuse_columns(tbl, cols);
    perform rowcast.refuse_options(s, coalesce(keep, '7d'));
    for fault in select * from rowcast.faults(s) loop
        perform rowcast.refuse('object_not_in_prerequisite_state', fault.problem, fault.remedy);
    end loop;
    if s.id_sequence is not null and not has_sequence_privilege(s.id_sequence, 'select, usage') then
        perform rowcast.refuse('insufficient_privilege', format('role %I may not read sequence %s', current_user, s.id_sequence),
            format('grant select on sequence %s to %I;', s.id_sequence, current_user));
    end if;
    if rowcast.begins_anew(old, s) or rowcast.differences(old, s) <> '{}' or not exists (select from pg_class where oid = old.bell)
       or exists (select from rowcast.triggers(s) t where t.state <> 'ok') then
        perform rowcast.refuse_journal_of_others(old, s);
        done := rowcast.attach_locked(s);
    end if;
    perform rowcast.grant_to_owner(tbl);
    perform set_config('lock_timeout', own_timeout, true);
    select * into s from rowcast.sources o where o.name = s.name;
    return jsonb_build_object('source', s.name, 'changes', done,
        'state', case when old.name is null then 'attached' when done = '{}' then 'unchanged' else 'changed' end,
        'warnings', rowcast.attach_warnings(s));
end
$$;
