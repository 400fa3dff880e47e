-- The call of attach, and detach and uninstall for both kinds of source.

drop function rowcast.detach(text);
drop function rowcast.drop_triggers(regclass, text);
drop function rowcast.uninstall();

-- Changing a journal in place takes its owner's rights: who attached it, or somebody who may act as that role.
create function rowcast.refuse_journal_of_others(old rowcast.sources, s rowcast.sources) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    owner oid := (select relowner from pg_class where oid = old.journal);
begin
    if owner is not null and not rowcast.begins_anew(old, s) and not pg_has_role(owner, 'usage') then
        perform rowcast.refuse('insufficient_privilege',
            format('role %I may not change the journal of source %s, which is not its own', current_user, s.name),
            format('Attach as role %s, or: grant %1$s to %I; or detach the source first.', owner::regrole, current_user));
    end if;
end
$$;

-- attach('public.messages', room => 'room_id') and its kin: makes the table a source and returns the source's name. The
-- table is written as in SQL, columns literally; the room may be an expression over one column if there is a journal. The same
-- call again changes nothing; another one changes the source.
create function rowcast.attach(
    relation text, room text, id text default null, columns text[] default null, source text default null,
    never_ring boolean default null, changes text[] default '{insert}', journal boolean default null, keep text default '7d',
    always boolean default false, per_statement boolean default false) returns text
language plpgsql as $$
declare
    tbl pg_catalog.regclass := rowcast.table_named(relation);
    report pg_catalog.jsonb := rowcast.attach_report(tbl, rowcast.room_named(tbl, room), id, columns, source, never_ring, changes, journal,
                                                     keep, always, per_statement);
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

-- Drops the triggers of ours on one table, those of one source or (null) of all. The caller holds the lock. A partition's copy
-- of a row trigger goes with the table's.
create function rowcast.drop_triggers(tbl regclass, source text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    name text;
begin
    for name in select g.tgname from pg_trigger g join pg_proc p on p.oid = g.tgfoid
            where g.tgrelid = tbl and p.pronamespace = 'rowcast'::regnamespace and g.tgparentid = 0
              and (source is null or g.tgname = any (rowcast.trigger_names(source)))
    loop
        execute format('drop trigger %I on %s', name, tbl);
    end loop;
end
$$;

-- Drops a source's triggers wherever they are (a partition may have become a table of its own), its row, its bell and its journal.
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
        select distinct g.tgrelid::regclass as tbl from pg_trigger g join pg_class c on c.oid = g.tgrelid
        where g.tgname = any (rowcast.trigger_names(source)) and c.relnamespace <> 'rowcast'::regnamespace
          and g.tgfoid in (select p.oid from pg_proc p where p.pronamespace = 'rowcast'::regnamespace)) t;
    perform rowcast.refuse_drop(t) from unnest(tables) t;
    foreach tbl in array tables loop
        perform rowcast.lock_table(tbl, 'access exclusive', deadline);
    end loop;
    perform rowcast.drop_triggers(t, source) from unnest(tables) t;
    perform rowcast.wait_until(deadline);
    delete from rowcast.sources s where s.name = detach.source;
    perform rowcast.drop_unused();
    perform set_config('lock_timeout', own_timeout, true);
    perform pg_notify('rowcast', 'sources:');
end
$$;

-- Removes all of Rowcast: locks each table that has triggers of ours, in the order of their oids and journals last, as writers
-- do, drops them, then the schema. The registry's tables come first here, in the order in which a relay's read locks them and
-- the table it reads; a TRUNCATE, which goes the other way, is not the one that gives up, since we do before PostgreSQL looks for
-- deadlocks. The schema's owner may drop what others made in it.
create function rowcast.uninstall() returns void
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
    tables regclass[] := array(select distinct g.tgrelid from pg_trigger g join pg_proc p on p.oid = g.tgfoid
                               join pg_class c on c.oid = g.tgrelid
                               where p.pronamespace = 'rowcast'::regnamespace and c.relnamespace <> p.pronamespace order by g.tgrelid);
    journals regclass[] := array(select c.oid from pg_class c where c.relnamespace = 'rowcast'::regnamespace and c.relkind = 'r'
                                 and c.relname ~ '^journal_' order by c.oid);
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
    foreach tbl in array array['rowcast.sources', 'rowcast.positions', 'rowcast.truncations']::regclass[] || tables || journals loop
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
