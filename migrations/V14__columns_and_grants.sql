-- What attach also refuses of columns, and grants that only what is attached may bring about.

-- What V9 looks at.
alter function rowcast.faults(rowcast.sources) rename to faults_of_table;

-- As in V9, and: columns that the reads of a source, or its triggers, would take for something else.
create function rowcast.faults(s rowcast.sources) returns table (problem text, remedy text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select f.* from rowcast.faults_of_table(s) f
    union all
    select format('column rowcast_row of %s has the name that Rowcast gives to rows', s.relation),
           format('Its value would be sent in the place of the row: alter table %s rename column rowcast_row to …;', s.relation)
    from pg_attribute a
    where a.attrelid = s.relation and a.attname = 'rowcast_row' and a.attnum > 0 and not a.attisdropped
    union all
    select format('room column %I of %s is a virtual generated column', a.attname, s.relation),
           format('No index can have it, and triggers see null in its place. Store it: '
                  'alter table %s drop column %I, add column %2$I %s generated always as (%s) stored;',
                  s.relation, a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid))
    from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = s.relation and a.attname = s.room_column and a.attgenerated = 'v'
    union all
    select format('column %I of %s is a virtual generated column', a.attname, s.relation),
           'Triggers see null in its place, and an update that changes nothing else of what is sent would go unseen. '
           'Store it, or send every column.'
    from pg_attribute a
    where a.attrelid = s.relation and a.attname = any (s.columns) and a.attname <> s.room_column and a.attgenerated = 'v'
      and s.key_columns is not null and 'update' = any (s.changes)
$$;

-- Whether a role reads every row of a table: it may read the table, and no row security applies to it (as PostgreSQL's own
-- check_enable_rls() decides).
create function rowcast.reads_all(reader name, relation regclass) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select has_table_privilege(r.oid, c.oid, 'select')
       and (not c.relrowsecurity or r.rolsuper or r.rolbypassrls
            or not c.relforcerowsecurity and pg_has_role(r.oid, c.relowner, 'usage'))
    from pg_class c, pg_roles r where c.oid = reads_all.relation and r.rolname = reads_all.reader
$$;

-- As in V8, but a journal has the rooms and keys of all rows: it is for those who may read them all.
create or replace function rowcast.grant_journal(s rowcast.sources) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    owner name := (select r.rolname from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = s.relation);
    reader name;
    target regclass;
begin
    if not has_function_privilege(owner, format('%s()', s.journal), 'execute') then
        execute format('grant execute on function %s() to %I', s.journal, owner);
    end if;
    for reader in select distinct r.rolname from pg_class c join pg_roles r on r.oid = c.relowner
            where (c.oid = s.relation or c.oid in (select o.relation from rowcast.sources o)) and rowcast.reads_all(r.rolname, s.relation) loop
        foreach target in array array[s.journal, s.id_sequence, s.skip_sequence] loop
            if not has_table_privilege(reader, target, 'select') then
                execute format('grant select on %s to %I', target, reader);
            end if;
        end loop;
    end loop;
end
$$;

-- As in V8, but for the owner of a source's table alone. Everybody who may use the schema may call this, and it has the rights of
-- the schema's owner: with a table of one's own, a temporary one will do, one could read the registry and the tickets.
create or replace function rowcast.grant_to_owner(relation regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner name := (select r.rolname from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = relation);
    target regclass;
begin
    if not exists (select from rowcast.sources s where s.relation = grant_to_owner.relation) then
        perform rowcast.refuse('insufficient_privilege', format('%s is not attached', relation),
            'Only the owner of an attached table is granted what pg_dump needs. Attach it first.');
    end if;
    if not has_schema_privilege(owner, 'rowcast', 'usage') then
        execute format('grant usage on schema rowcast to %I', owner);
    end if;
    for target in select c.oid from pg_class c
            where c.relnamespace = 'rowcast'::regnamespace and c.relkind in ('r', 'S') and pg_has_role(c.relowner, 'usage')
              and not has_table_privilege(owner, c.oid, 'select')
              and (c.relname !~ '^(journal|ids|skips)_' or exists (
                    select from rowcast.sources s where c.oid in (s.journal, s.id_sequence, s.skip_sequence)
                       and rowcast.reads_all(owner, s.relation))) loop
        execute format('grant select on %s to %I', target, owner);
    end loop;
end
$$;
