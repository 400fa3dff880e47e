-- attach, detach and uninstall.

-- pg_dump by the application's own role reads schema rowcast too and fails without these. Definer's rights: whoever may
-- attach need not own the schema. It gives away no more than the names of tables and columns.
create function rowcast.grant_to_owner(relation regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner name := (select r.rolname from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = relation);
    target regclass;
begin
    if not has_schema_privilege(owner, 'rowcast', 'usage') then
        execute format('grant usage on schema rowcast to %I', owner);
    end if;
    for target in select oid from pg_class where relnamespace = 'rowcast'::regnamespace
            and relkind in ('r', 'S') and not has_table_privilege(owner, oid, 'select') and pg_has_role(relowner, 'usage') loop
        execute format('grant select on %s to %I', target, owner);
    end loop;
end
$$;

-- The bell of a source. Everybody may look at it, since the triggers' condition does so as the inserting role; whoever
-- may write the registry may set it. It is never altered: ALTER SEQUENCE waits for writers and makes them wait.
create function rowcast.make_bell(source text) returns regclass
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    bell text := format('rowcast.%I', 'bell_' || source);
    relay name;
begin
    if to_regclass(bell) is null then
        execute format('create sequence %s minvalue 0 maxvalue 1', bell);
        execute format('comment on sequence %s is %L', bell, format('1: inserts ring for source %s; 0: a relay polls', source));
        execute format('grant select on sequence %s to public', bell);
        for relay in select distinct r.rolname from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
                join pg_roles r on r.oid = g.grantee
                where c.oid = 'rowcast.sources'::regclass and g.privilege_type = 'UPDATE' and r.rolname <> current_user loop
            execute format('grant update on sequence %s to %I', bell, relay);
        end loop;
    end if;
    return bell;
end
$$;

-- Drops the bells that belong to no source. Whoever inserted holds his bell's lock up to the end of his transaction, even
-- if a savepoint gave the table's lock back; such a bell stays for the next call rather than keep a table locked. Definer's
-- rights: the table's owner detaches, and the bell may belong to whoever attached.
create function rowcast.drop_unused_bells() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '20ms' as $$
declare
    bell regclass;
begin
    for bell in select c.oid from pg_class c
            where c.relnamespace = 'rowcast'::regnamespace and c.relkind = 'S' and left(c.relname, 5) = 'bell_'
              and not exists (select from rowcast.sources s where s.bell = c.oid) loop
        begin
            execute format('drop sequence %s', bell);
        exception when lock_not_available or insufficient_privilege or dependent_objects_still_exist then
            null;
        end;
    end loop;
end
$$;

-- Makes the triggers of a source what they should be and says what it did. The caller holds the lock.
create function rowcast.install_triggers(relation regclass, source text, bell regclass, never_ring boolean) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    t record;
    done text[] := '{}';
begin
    for t in select * from rowcast.triggers(relation, source, bell, never_ring) where state <> 'ok' loop
        if t.state in ('wrong', 'surplus') then
            execute format('drop trigger %I on %s', t.trigger_name, t.member);
        end if;
        if t.state in ('missing', 'wrong') then
            execute t.statement;
        end if;
        done := done || format('%s trigger %I on %s', case t.state when 'missing' then 'made' when 'wrong' then 'made anew'
                                                      else 'dropped' end, t.trigger_name, t.member);
    end loop;
    return done;
end
$$;

-- What works but will hurt: no index for a room's rows, ids that are unique in each partition only, an unlogged table.
create function rowcast.attach_warnings(relation regclass, id_column text, room text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    with index as (
        select (select attname from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[0]) as first,
               (select attname from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[1]) as second
        from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
        where i.indrelid = relation and i.indisvalid and i.indpred is null and m.amname = 'btree'
    ), maker as (
        select case relkind when 'p' then 'create index' else 'create index concurrently' end as make from pg_class where oid = relation
    )
    select array_remove(array[
        case when not exists (select from index where first = room and second = id_column) then
            format('no index on (%I, %I): replays of a room will scan the table. Make one: %s on %s (%1$I, %2$I);',
                   room, id_column, make, relation) end,
        (select format('%I is unique only together with (%s), the partition key: of rows in several partitions with one id, '
                       'one would be lost. Ids that the sequence draws are never the same', id_column, array_to_string(b, ', '))
         from rowcast.unique_beside(relation, id_column) b where cardinality(b) > 0),
        (select format('%s is unlogged: a crash of the server empties it, and its subscribers begin anew', relation)
         from pg_class where oid = relation and relpersistence = 'u')], null)
    from maker
$$;

-- Writes the registry's row, bell and triggers under the table's lock; returns what it changed, in words. That lock is
-- the proof that no insert is in flight, so every id up to the sequence's last value is closed: start_id. Where a trigger
-- must go, it is the lock that dropping one takes: to ask for more while writers wait would make them wait for readers.
create function rowcast.attach_locked(
    tbl regclass, id_col text, room_col text, cols text[], src text, never boolean) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old rowcast.sources;
    id_seq regclass;
    bell_seq regclass;
    flag int := case when never then 0 else 1 end;
    changes text[] := '{}';
    deadline timestamptz := rowcast.deadline();
    mode text := 'share row exclusive';
begin
    perform rowcast.lock_registry(deadline);
    perform rowcast.source_name_of(tbl, src);
    select * into old from rowcast.sources s where s.name = src;
    if exists (select from rowcast.triggers(tbl, src, old.bell, never) t where t.state in ('wrong', 'surplus')) then
        perform rowcast.refuse_drop(m) from rowcast.members(tbl) m;
        mode := 'access exclusive';
    end if;
    perform rowcast.drop_unused_bells();
    perform rowcast.lock_table(tbl, mode, deadline);
    perform rowcast.wait_until(deadline);
    id_seq := rowcast.sequence_of(tbl, id_col);
    bell_seq := rowcast.make_bell(src);
    if (old.relation, old.id_column, old.room_column, old.id_sequence) is distinct from (tbl, id_col, room_col, id_seq) then
        insert into rowcast.sources (name, relation, id_column, room_column, columns, id_sequence, sequence_filenode, bell,
                                     never_ring, epoch, start_id)
        values (src, tbl, id_col, room_col, cols, id_seq, pg_relation_filenode(id_seq), bell_seq, never,
                1 + floor(random() * (2::float8 ^ 47 - 1))::bigint, coalesce(pg_sequence_last_value(id_seq), 0))
        on conflict (name) do update set relation = excluded.relation, id_column = excluded.id_column,
            room_column = excluded.room_column, columns = excluded.columns, id_sequence = excluded.id_sequence,
            sequence_filenode = excluded.sequence_filenode, bell = excluded.bell, never_ring = excluded.never_ring,
            epoch = excluded.epoch, start_id = excluded.start_id, attached_at = excluded.attached_at;
        delete from rowcast.positions where positions.source = src;
        changes := changes || case when old.name is null then format('attached %s as source %s', tbl, src)
                                   else format('source %s begins anew (another table, id or room column)', src) end;
    else
        update rowcast.sources s set columns = cols, never_ring = never, bell = bell_seq where s.name = src;
        changes := changes
            || case when old.columns is distinct from cols then array[format('source %s sends %s', src,
                    coalesce(array_to_string(cols, ', '), 'every column'))] else '{}' end
            || case when old.never_ring <> never then array[format('source %s %s', src,
                    case when never then 'never rings' else 'rings' end)] else '{}' end;
    end if;
    if old.name is null or pg_sequence_last_value(bell_seq) is null or never or old.never_ring <> never then
        perform setval(bell_seq, flag);
    end if;
    changes := changes || rowcast.install_triggers(tbl, src, bell_seq, never);
    perform pg_notify('rowcast', 'sources:');
    return changes;
end
$$;

-- Attaches and reports {"source","state","changes","warnings"}; state is attached, changed or unchanged. Takes no lock
-- when nothing is to be done, so that an application may call it at each of its starts.
create function rowcast.attach_report(
    tbl regclass, room_col text, id_wanted text, cols text[], source_wanted text, never_wanted boolean) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    fault record;
    old rowcast.sources;
    id_col text;
    id_seq regclass;
    src text;
    never boolean;
    changes text[] := '{}';
    own_timeout text := current_setting('lock_timeout');
begin
    perform rowcast.refuse_server();
    perform rowcast.refuse_table(tbl);
    id_col := rowcast.id_column_of(tbl, id_wanted);
    perform rowcast.refuse_room(tbl, room_col);
    perform rowcast.refuse_columns(tbl, cols);
    src := rowcast.source_name_of(tbl, source_wanted);
    for fault in select * from rowcast.table_faults(tbl, id_col) loop
        perform rowcast.refuse('object_not_in_prerequisite_state', fault.problem, fault.remedy);
    end loop;
    id_seq := rowcast.sequence_of(tbl, id_col);
    if not has_sequence_privilege(id_seq, 'select, usage') then
        perform rowcast.refuse('insufficient_privilege', format('role %I may not read sequence %s', current_user, id_seq),
            format('grant select on sequence %s to %I;', id_seq, current_user));
    end if;
    select * into old from rowcast.sources s where s.name = src;
    never := coalesce(never_wanted, old.never_ring, current_setting('max_prepared_transactions')::int > 0);
    if (old.relation, old.id_column, old.room_column, old.id_sequence, old.columns, old.never_ring)
            is distinct from (tbl, id_col, room_col, id_seq, cols, never)
       or not exists (select from pg_class where oid = old.bell)
       or exists (select from rowcast.triggers(tbl, src, old.bell, never) t where t.state <> 'ok') then
        changes := rowcast.attach_locked(tbl, id_col, room_col, cols, src, never);
    end if;
    perform rowcast.grant_to_owner(tbl);
    perform set_config('lock_timeout', own_timeout, true);
    return jsonb_build_object('source', src, 'changes', changes,
        'state', case when old.name is null then 'attached' when changes = '{}' then 'unchanged' else 'changed' end,
        'warnings', rowcast.attach_warnings(tbl, id_col, room_col));
end
$$;

-- The table as it is written in SQL, found on the caller's search_path; refuses one that is not there or out of reach.
create function rowcast.table_named(relation text) returns regclass language plpgsql as $$
declare
    answer pg_catalog.regclass;
    parts text[];
begin
    begin
        answer := pg_catalog.to_regclass(relation);
    exception when insufficient_privilege then
        parts := pg_catalog.parse_ident(relation);
        perform rowcast.refuse('insufficient_privilege',
            pg_catalog.format('role %I may not use schema %I of table %s', current_user,
                              parts[pg_catalog.cardinality(parts) operator(pg_catalog.-) 1], relation),
            pg_catalog.format('grant usage on schema %I to %I;',
                              parts[pg_catalog.cardinality(parts) operator(pg_catalog.-) 1], current_user));
    end;
    if answer is null then
        perform rowcast.refuse('undefined_table', pg_catalog.format('there is no table %s', relation),
            'Write it as in SQL: public.messages, "Odd"."My Table". Without a schema it is looked for on the search_path, '
            'in the schemas that the role may use.');
    end if;
    return answer;
end
$$;

-- attach('public.messages', room => 'room_id') and its kin: makes the table a source and returns the source's name. The
-- table is written as in SQL, columns literally. The same call again changes nothing; another one changes the source.
create function rowcast.attach(
    relation text, room text, id text default null, columns text[] default null, source text default null,
    never_ring boolean default null) returns text
language plpgsql as $$
declare
    report pg_catalog.jsonb := rowcast.attach_report(rowcast.table_named(relation), room, id, columns, source, never_ring);
    line text;
begin
    for line in select * from pg_catalog.jsonb_array_elements_text(report operator(pg_catalog.->) 'changes') loop
        raise notice '%', line;
    end loop;
    for line in select * from pg_catalog.jsonb_array_elements_text(report operator(pg_catalog.->) 'warnings') loop
        raise warning '%', line;
    end loop;
    return report operator(pg_catalog.->>) 'source';
end
$$;

-- Drops a source's triggers wherever they are (a partition may have become a table of its own), its row and its bell.
create function rowcast.detach(source text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    old rowcast.sources;
    tables regclass[];
    tbl regclass;
    own_timeout text := current_setting('lock_timeout');
    deadline timestamptz := rowcast.deadline();
begin
    if not has_table_privilege('rowcast.sources', 'delete') then
        perform rowcast.refuse('insufficient_privilege', format('role %I may not write the registry of Rowcast', current_user),
            format('Detach as role %s, or: grant select, delete on rowcast.sources to %I;',
                   (select nspowner::regrole from pg_namespace where nspname = 'rowcast'), current_user));
    end if;
    perform rowcast.lock_registry(deadline);
    select * into old from rowcast.sources s where s.name = detach.source;
    if old.name is null then
        perform rowcast.refuse('undefined_object', format('there is no source %s', source), coalesce(
            'There are: ' || (select string_agg(s.name, ', ' order by s.ordinal) from rowcast.sources s), 'None is attached.'));
    end if;
    select coalesce(array_agg(t.tbl order by t.tbl <> old.relation, t.tbl), '{}') into tables from (
        select distinct g.tgrelid::regclass as tbl from pg_trigger g
        where g.tgname in ('rowcast_xid_' || source, 'rowcast_bell_' || source, 'rowcast_truncate_' || source)
          and g.tgfoid in (select p.oid from pg_proc p where p.pronamespace = 'rowcast'::regnamespace)) t;
    perform rowcast.refuse_drop(t) from unnest(tables) t;
    foreach tbl in array tables loop
        perform rowcast.lock_table(tbl, 'access exclusive', deadline);
    end loop;
    perform rowcast.drop_triggers(t, source) from unnest(tables) t;
    perform rowcast.wait_until(deadline);
    delete from rowcast.sources s where s.name = detach.source;
    perform rowcast.drop_unused_bells();
    perform set_config('lock_timeout', own_timeout, true);
    perform pg_notify('rowcast', 'sources:');
end
$$;

-- Drops the triggers of ours on one table, those of one source or (null) of all. The caller holds the lock.
create function rowcast.drop_triggers(tbl regclass, source text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    name text;
begin
    for name in select g.tgname from pg_trigger g join pg_proc p on p.oid = g.tgfoid
            where g.tgrelid = tbl and p.pronamespace = 'rowcast'::regnamespace
              and (source is null or g.tgname in ('rowcast_xid_' || source, 'rowcast_bell_' || source, 'rowcast_truncate_' || source))
    loop
        execute format('drop trigger %I on %s', name, tbl);
    end loop;
end
$$;

-- Removes all of Rowcast: locks each table that has triggers of ours, in the order of their oids, drops them, then the
-- schema. The registry's tables come first here, in the order in which a relay's read locks them and the table it reads;
-- a TRUNCATE, which goes the other way, is not the one that gives up, since we do before PostgreSQL looks for deadlocks.
create function rowcast.uninstall() returns void
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
    tables regclass[] := array(select distinct g.tgrelid from pg_trigger g join pg_proc p on p.oid = g.tgfoid
                               where p.pronamespace = 'rowcast'::regnamespace order by g.tgrelid);
    tbl regclass;
    owner name := (select r.rolname from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'rowcast');
    own_timeout text := current_setting('lock_timeout');
    deadline timestamptz := rowcast.deadline();
begin
    if not pg_has_role(owner, 'usage') then
        perform rowcast.refuse('insufficient_privilege', format('role %I may not drop schema rowcast', current_user),
            format('Do it as its owner, role %I.', owner));
    end if;
    perform rowcast.refuse_drop(t) from unnest(tables) t;
    perform rowcast.lock_registry(deadline);
    foreach tbl in array array['rowcast.sources', 'rowcast.positions']::regclass[] || tables loop
        perform rowcast.lock_table(tbl, 'access exclusive', deadline);
    end loop;
    perform rowcast.drop_triggers(t, null) from unnest(tables) t;
    perform rowcast.wait_until(deadline);
    perform pg_notify('rowcast', 'sources:');
    begin
        drop schema rowcast cascade;
    exception when lock_not_available then
        perform rowcast.blocked('schema rowcast is in use', array(
            select distinct b from pg_class c, rowcast.blockers(c.oid, 'access exclusive') b
            where c.relnamespace = 'rowcast'::regnamespace and c.relkind in ('r', 'S')));
    end;
    perform set_config('lock_timeout', own_timeout, true);
end
$$;
