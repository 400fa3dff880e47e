-- What writes a journal: a trigger function generated for each source, with its columns' names in it.
--
-- It must never fail a statement of the application. Reading the row (a column renamed, dropped or of another type by now)
-- happens in a block that catches every error and writes nothing, since a write in it would consume a transaction id for each
-- row; what could not be read is counted in the skip sequence. The write stands outside and can't fail on a value. All names
-- and operators are qualified: it runs under the application's search_path, because a SET clause costs as much as the look at
-- a row. It runs with the rights of whoever attached, so values of types of the application's own are not cast, which might
-- call its functions, but printed.

-- An expression as text. `format` prints a value as its type's output function does.
create function rowcast.text_of(expression text, wanted regtype) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when rowcast.base_type(wanted)::oid < 16384 then format('(%s)::pg_catalog.text', expression)
        else format('case when (%1$s) is not null then pg_catalog.format(''%%s'', (%1$s)) end', expression) end
$$;

-- A name in quotes whether SQL needs them or not: PL/pgSQL reserves words of its own (begin, loop, strict), and after `new.` takes one
-- without quotes for no field.
create function rowcast.quoted(name text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select '"' || replace(name, '"', '""') || '"'
$$;

-- How the function reads one image of a row (`image` is new, old, or an alias of a transition table): whether the columns are
-- of the registered types, the key, the room, the columns of which a change is an update, and those of which any change
-- matters (null: the whole row).
create function rowcast.image_code(s rowcast.sources, image text, out fits text, out key text, out room text, out sent text, out touched text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with key_column as (
        select *, image || '.' || rowcast.quoted(name) as field from unnest(s.key_columns, s.key_types) with ordinality k (name, type, nr)
    ), typed as (
        select field, type, nr from key_column union all select image || '.' || rowcast.quoted(s.room_column), s.room_type, 0
    )
    select (select string_agg(format('pg_catalog.pg_typeof(%s) operator(pg_catalog.=) %L::pg_catalog.regtype', field,
                                     rowcast.type_name(type)), ' and ' order by nr) from typed),
        (select format('pg_catalog.jsonb_build_object(%s)', string_agg(format('%L, %s', name,
                    case when rowcast.base_type(type)::oid < 16384 then field else rowcast.text_of(field, type) end), ', ' order by nr)) from key_column),
        case when s.room_expression is null then rowcast.text_of(image || '.' || rowcast.quoted(s.room_column), s.room_type)
             else format('(select (%s)::pg_catalog.text from (select %s.%s) rowcast_row (%3$s))', s.room_expression, image,
                         rowcast.quoted(s.room_column)) end,
        (select 'row(' || string_agg(image || '.' || rowcast.quoted(name), ', ' order by nr) || ')::pg_catalog.record'
         from unnest(s.columns) with ordinality c (name, nr)),
        (select 'row(' || string_agg(image || '.' || rowcast.quoted(name), ', ') || ')::pg_catalog.record'
         from (select unnest(s.key_columns || s.room_column || case when 'update' = any (s.changes) then s.columns end) as name) c
         where s.columns is not null or 'update' <> all (s.changes))
$$;

-- Lines of the row function that read one image into IMAGE_key and IMAGE_room. A room expression that fails on a value has
-- no room; one that can't be evaluated at all (class 42: a function of it is gone) is a row that can't be read.
create function rowcast.row_reading(s rowcast.sources, image text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(case when s.room_expression is null then $code$
            if %2$s then
                %1$s_key := %3$s;
                %1$s_room := %4$s;
            else
                fits := false;
            end if;$code$ else $code$
            if %2$s then
                %1$s_key := %3$s;
                begin
                    %1$s_room := %4$s;
                exception when others or assert_failure then
                    if pg_catalog.left(sqlstate, 2) operator(pg_catalog.=) '42' then
                        raise;
                    end if;
                end;
            else
                fits := false;
            end if;$code$ end, image, c.fits, c.key, c.room)
    from rowcast.image_code(s, image) c
$$;

-- The last lines of either body: what the bell's trigger does for a source without a journal (V2), once something was written.
-- A statement trigger on the journal would do it, too, but setting one up costs half as much again as a row's entry, and each
-- row's entry is a statement. It rings once in a transaction: that it did stands in a setting, which ends with the transaction or
-- savepoint, as the notification does. Who presets it silences his own bells, which costs followers a second.
create function rowcast.bell_ringing(s rowcast.sources) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when s.never_ring then '' else format($code$
    if coalesce(pg_catalog.current_setting('rowcast.rung', true), '') operator(pg_catalog.<>) %2$L
       and (case when pg_catalog.has_sequence_privilege(%1$L::pg_catalog.regclass, 'select')
                 then pg_catalog.pg_sequence_last_value(%1$L::pg_catalog.regclass) operator(pg_catalog.=) 1 else true end)
       and pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.5::pg_catalog.float8 then
        perform pg_catalog.pg_notify('rowcast', %2$L);
        perform pg_catalog.set_config('rowcast.rung', %2$L, true);
    end if;$code$, s.bell, s.name) end
$$;

-- Lines of the row function that compare an update's two images: `same` if nothing changed that matters, `changed` if something
-- did that is sent. One by one, the columns' types stand in the session's plan, and the comparison fails there once one of them is
-- retyped: that is no reason to skip the change.
create function rowcast.row_comparing(s rowcast.sources) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format(case when o.touched is null then $code$
            same := old operator(pg_catalog.*=) new;$code$ else $code$
            begin
                same := %1$s operator(pg_catalog.*=) %2$s;
                if not same then
                    changed := %3$s;
                end if;
            exception when others or assert_failure then
                same := false;
                changed := true;
            end;$code$ end, o.touched, n.touched,
        case when 'update' <> all (s.changes) then 'false' when n.sent is null then 'true'
             else format('not %s operator(pg_catalog.*=) %s', o.sent, n.sent) end)
    from rowcast.image_code(s, 'new') n, rowcast.image_code(s, 'old') o
$$;

-- The body of the function for a row trigger. An update that leaves key and room alone is an entry of its own; one that
-- changes either is a deletion in the old room and an insertion in the new.
create function rowcast.row_body(s rowcast.sources) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$
#variable_conflict use_column
declare
    old_key pg_catalog.jsonb;
    new_key pg_catalog.jsonb;
    old_room pg_catalog.text;
    new_room pg_catalog.text;
    same pg_catalog.bool := false;
    changed pg_catalog.bool := true;
    fits pg_catalog.bool := true;
begin
    begin
        if tg_op operator(pg_catalog.=) 'UPDATE' then%1$s
        end if;
        if not same and tg_op operator(pg_catalog.<>) 'DELETE' then%2$s
        end if;
        if not same and tg_op operator(pg_catalog.<>) 'INSERT' then%3$s
        end if;
    exception when others or assert_failure then
        same := false;
        fits := false;
    end;
    if same then
        return null;
    elsif not fits then
        perform pg_catalog.nextval(%4$L);
        return null;
    end if;
    if pg_catalog.octet_length(new_room) operator(pg_catalog.>) 1024 then
        new_room := null;
    end if;
    if pg_catalog.octet_length(old_room) operator(pg_catalog.>) 1024 then
        old_room := null;
    end if;
    if old_room is null and new_room is null then
        return null;
    end if;
    if tg_op operator(pg_catalog.=) 'UPDATE' and old_key operator(pg_catalog.=) new_key
       and coalesce(old_room operator(pg_catalog.=) new_room, false) then
        if not changed then
            return null;
        end if;
        insert into %5$s (op, room, key) values ('u', new_room, new_key);
    else
        if %6$s and old_room is not null then
            insert into %5$s (op, room, key) values ('d', old_room, old_key);
        end if;
        if %7$s and new_room is not null then
            insert into %5$s (op, room, key) values ('i', new_room, new_key);
        end if;
    end if;%8$s
    return null;
end
$code$,
        rowcast.row_comparing(s),
        rowcast.row_reading(s, 'new'), rowcast.row_reading(s, 'old'),
        s.skip_sequence, s.journal, ('delete' = any (s.changes))::text, ('insert' = any (s.changes))::text,
        rowcast.bell_ringing(s))
$$;

-- The body of the function for triggers with transition tables: the columns are tried on one row, then all rows are written by
-- one statement. Old and new rows meet by their key; of one key the deletion's entry comes first.
create function rowcast.statement_body(s rowcast.sources) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format($code$
#variable_conflict use_column
declare
    fits pg_catalog.bool;
begin
    begin
        if tg_op operator(pg_catalog.=) 'DELETE' then
            fits := (select %1$s from old_rows o limit 1);
            perform %2$s, %3$s from old_rows o limit 0;
        else
            fits := (select %4$s from new_rows n limit 1);
            perform %5$s, %6$s, %8$s from new_rows n limit 0;
        end if;
    exception when others or assert_failure then
        fits := false;
    end;
    if not fits then
        perform pg_catalog.nextval(%9$L);
        return null;
    elsif tg_op operator(pg_catalog.=) 'INSERT' then
        insert into %10$s (op, room, key)
        select 'i', e.room, e.key from (select %6$s, %5$s from new_rows n) e (room, key)
        where pg_catalog.octet_length(e.room) operator(pg_catalog.<=) 1024;
    elsif tg_op operator(pg_catalog.=) 'DELETE' then
        insert into %10$s (op, room, key)
        select 'd', e.room, e.key from (select %3$s, %2$s from old_rows o) e (room, key)
        where pg_catalog.octet_length(e.room) operator(pg_catalog.<=) 1024;
    elsif tg_op operator(pg_catalog.=) 'UPDATE' then
        with old_image as (
            select case when pg_catalog.octet_length(e.room) operator(pg_catalog.<=) 1024 then e.room end as room, e.key, e.sent
            from (select %3$s, %2$s, %7$s from old_rows o) e (room, key, sent)
        ), new_image as (
            select case when pg_catalog.octet_length(e.room) operator(pg_catalog.<=) 1024 then e.room end as room, e.key, e.sent
            from (select %6$s, %5$s, %8$s from new_rows n) e (room, key, sent)
        ), met as (
            select o.room as old_room, o.key as old_key, n.room as new_room, n.key as new_key,
                   coalesce(o.room operator(pg_catalog.=) n.room, false) as stays,
                   coalesce(o.sent operator(pg_catalog.*=) n.sent, false) as same
            from old_image o full join new_image n on o.key operator(pg_catalog.=) n.key
        )
        insert into %10$s (op, room, key)
        select e.op, e.room, e.key
        from met cross join lateral (values
            ('d'::pg_catalog."char", met.old_room, met.old_key, %11$s and not met.stays),
            ('i'::pg_catalog."char", met.new_room, met.new_key, %12$s and not met.stays),
            ('u'::pg_catalog."char", met.new_room, met.new_key, %13$s and met.stays and not met.same)) e (op, room, key, wanted)
        where e.wanted and e.room is not null;
    end if;
    if not found then
        return null;
    end if;%14$s
    return null;
end
$code$,
        o.fits, o.key, o.room, n.fits, n.key, n.room,
        coalesce(o.sent, 'row(o.*)::pg_catalog.record'), coalesce(n.sent, 'row(n.*)::pg_catalog.record'),
        s.skip_sequence, s.journal,
        ('delete' = any (s.changes))::text, ('insert' = any (s.changes))::text, ('update' = any (s.changes))::text,
        rowcast.bell_ringing(s))
    from rowcast.image_code(s, 'n') n, rowcast.image_code(s, 'o') o
$$;

-- The body of a source's trigger function.
create function rowcast.journal_body(s rowcast.sources) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when s.per_statement then rowcast.statement_body(s) else rowcast.row_body(s) end
$$;

-- Makes a source's trigger function what it should be. Text of dates, numbers and bytes follows settings of the session, which
-- are then pinned. PostgreSQL asks for EXECUTE when a trigger is made or, with a new partition, copied: the table's owner may,
-- and nobody else, who could write entries with a trigger on a table of his own.
create function rowcast.make_journal_function(s rowcast.sources) returns void
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
begin
    execute format('create or replace function %s() returns trigger language plpgsql security definer%s%s as %L', s.journal,
        case when s.room_expression is not null then ' set search_path = pg_catalog, pg_temp' end,
        case when s.room_expression is not null or exists (select from unnest(s.key_types || s.room_type) t where not rowcast.is_plain_text(t))
             then ' set timezone = ''UTC'' set datestyle = ''ISO, YMD'' set intervalstyle = ''postgres'''
                  ' set extra_float_digits = 1 set bytea_output = ''hex''' end,
        rowcast.journal_body(s));
    execute format('revoke all on function %s() from public', s.journal);
    execute format('comment on function %s() is %L', s.journal, format('Writes the journal of source %s. Made by rowcast.attach.', s.name));
    perform rowcast.grant_journal(s);
end
$$;

-- Lets the table's owner make partitions (see above), and read the journal whoever reads the table and dumps this schema with his
-- own: the owners of attached tables.
create function rowcast.grant_journal(s rowcast.sources) returns void
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
            where (c.oid = s.relation or c.oid in (select o.relation from rowcast.sources o)) and has_table_privilege(r.oid, s.relation, 'select') loop
        foreach target in array array[s.journal, s.id_sequence, s.skip_sequence] loop
            if not has_table_privilege(reader, target, 'select') then
                execute format('grant select on %s to %I', target, reader);
            end if;
        end loop;
    end loop;
end
$$;

-- As in V6, but what is in other tables' journals is for those who may read the tables.
create or replace function rowcast.grant_to_owner(relation regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    owner name := (select r.rolname from pg_class c join pg_roles r on r.oid = c.relowner where c.oid = relation);
    target regclass;
begin
    if not has_schema_privilege(owner, 'rowcast', 'usage') then
        execute format('grant usage on schema rowcast to %I', owner);
    end if;
    for target in select c.oid from pg_class c
            where c.relnamespace = 'rowcast'::regnamespace and c.relkind in ('r', 'S') and pg_has_role(c.relowner, 'usage')
              and not has_table_privilege(owner, c.oid, 'select')
              and (c.relname !~ '^(journal|ids|skips)_' or exists (
                    select from rowcast.sources s where c.oid in (s.journal, s.id_sequence, s.skip_sequence)
                       and has_table_privilege(owner, s.relation::oid, 'select'))) loop
        execute format('grant select on %s to %I', target, owner);
    end loop;
end
$$;

-- TRUNCATE, as in V2. With a journal that of a partition counts, too: its rows vanish without an entry. But others may be writing
-- the other partitions, so nothing says which numbers are closed, and the registry's row is not to be locked for as long as the
-- transaction takes: it is noted in a row of its own, and the tail that finds it begins anew.
create or replace function rowcast.truncated() returns trigger language plpgsql security definer set search_path = '' as $$
declare
    s rowcast.sources;
begin
    update rowcast.sources o
    set epoch = o.epoch + 1,
        start_id = case when has_sequence_privilege(o.id_sequence, 'select, usage')
                        then coalesce(pg_sequence_last_value(o.id_sequence), 0) else 0 end,
        sequence_filenode = coalesce(pg_relation_filenode(o.id_sequence), 0),
        skips = case when has_sequence_privilege(o.skip_sequence, 'select, usage')
                     then coalesce(pg_sequence_last_value(o.skip_sequence), 0) else o.skips end
    where o.name = tg_argv[0] and o.relation = tg_relid
    returning * into s;
    if s.name is null then
        insert into rowcast.truncations (source)
        select o.name from rowcast.sources o
        where o.name = tg_argv[0] and o.journal is not null
          and o.relation in (select relid from pg_partition_ancestors(tg_relid) relid)
          and o.xmin <> pg_current_xact_id()::xid -- the whole table was truncated, too
        returning source into s.name;
        select * into s from rowcast.sources o where o.name = s.name;
    end if;
    if not s.never_ring and pg_notification_queue_usage() < 0.5 then
        perform pg_notify('rowcast', tg_argv[0]);
    end if;
    return null;
end
$$;

-- The names of the triggers that a source may have. Those that write a journal sort before what an application would name its
-- own: PostgreSQL fires in the order of names, and a trigger of the host that changes the row again must be journaled after.
create function rowcast.trigger_names(source text) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array(select prefix || source from unnest(array['rowcast_xid_', 'rowcast_bell_', 'rowcast_truncate_', '!rowcast_journal_',
                                                           '!rowcast_insert_', '!rowcast_update_', '!rowcast_delete_']) prefix)
$$;
