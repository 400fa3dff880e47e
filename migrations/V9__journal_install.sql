-- What a source consists of in the database: triggers, bell and, with a journal, table, function and skip sequence. The
-- functions of before took a few columns of the registry's row; these take the row, and serve both kinds.

drop function rowcast.triggers(regclass, text, regclass, boolean);
drop function rowcast.install_triggers(regclass, text, regclass, boolean);
drop function rowcast.table_faults(regclass, text);
drop function rowcast.make_bell(text);
drop function rowcast.drop_unused_bells();

-- The triggers that a source should have and those of its names that it has, with what would make the two equal. A row trigger
-- is made on the table itself and copied by PostgreSQL to its partitions. `state` is ok, missing, wrong (other function, other
-- bell or journal), surplus, disabled (by hand, or not as `always` wants it) or stale (the function is to be made anew).
-- What the function uses stands in the trigger's condition and makes it depend on that: a journal or its bell can't be dropped and
-- leave the trigger behind, which would fail.
create function rowcast.triggers(s rowcast.sources)
returns table (member regclass, trigger_name text, state text, statement text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with source as (
        select s.key_columns is not null as has_journal, case when s.journal is not null then to_regprocedure(format('%s()', s.journal)) end as fn,
               format('when (%L::regclass is not null and %L::regclass is not null and %L::regclass is not null) execute function %s()',
                      s.journal, s.skip_sequence, s.bell, s.journal) as action,
               array[s.journal, s.skip_sequence, s.bell]::oid[] as uses
    ), member as (
        select m, m = s.relation as is_root from rowcast.members(s.relation) m
    ), wanted as (
        select m, 'rowcast_xid_' || s.name as name, 'rowcast.own_xid()'::regprocedure as fn, '{}'::oid[] as needs, not has_journal as wanted,
               format('before insert on %s for each statement when (pg_current_xact_id() = ''0''::xid8) '
                      'execute function rowcast.own_xid()', m) as definition
        from member, source
        union all
        select m, 'rowcast_bell_' || s.name, 'rowcast.ring()', array[s.bell], not has_journal and not s.never_ring,
               format('after insert on %s for each statement when (case '
                      'when has_sequence_privilege(%2$L::regclass, ''select'') then pg_sequence_last_value(%2$L::regclass) = 1 '
                      'else true end) execute function rowcast.ring(%3$L)', m, s.bell, s.name)
        from member, source
        union all
        -- Without a journal only the table's own: emptying one partition is a deletion of old rows, and ids go on.
        select m, 'rowcast_truncate_' || s.name, 'rowcast.truncated()', '{}', is_root or has_journal,
               format('after truncate on %s for each statement execute function rowcast.truncated(%L)', m, s.name)
        from member, source
        union all
        select m, '!rowcast_journal_' || s.name, fn, uses, has_journal and not s.per_statement,
               format('after update%s%s on %s for each row %s', case when 'insert' = any (s.changes) then ' or insert' end,
                      case when 'delete' = any (s.changes) then ' or delete' end, m, action)
        from member, source
        union all
        select m, format('!rowcast_%s_%s', event, s.name), fn, uses,
               has_journal and s.per_statement and (event = 'update' or event = any (s.changes)),
               format('after %s on %s referencing %s for each statement %s', event, m, tables, action)
        from member, source, (values ('insert', 'new table as new_rows'), ('update', 'old table as old_rows new table as new_rows'),
                                     ('delete', 'old table as old_rows')) e (event, tables)
    )
    select w.m, w.name,
        case when t.oid is null then case when w.wanted and not is_copy then 'missing' else 'ok' end
             when not w.wanted then case when t.tgparentid = 0 then 'surplus' else 'ok' end
             when t.tgfoid is distinct from w.fn or not is_copy and exists (
                    select from unnest(w.needs) n where not exists (
                        select from pg_depend d where d.classid = 'pg_trigger'::regclass and d.objid = t.oid
                          and d.refclassid = 'pg_class'::regclass and d.refobjid = n)) then 'wrong'
             when case when s.always then t.tgenabled <> 'A' when has_journal then t.tgenabled <> 'O'
                       else t.tgenabled not in ('O', 'A') end then 'disabled'
             when w.fn = source.fn and (select p.prosrc from pg_proc p where p.oid = w.fn) is distinct from rowcast.journal_body(s) then 'stale'
             else 'ok' end,
        case when t.oid is null then format('create trigger %I %s', w.name, w.definition)
             else format('alter table only %s enable %strigger %I', w.m, case when s.always then 'always ' end, w.name) end
    from wanted w cross join source
    cross join lateral (select w.name = '!rowcast_journal_' || s.name and w.m <> s.relation as is_copy) c
    left join pg_trigger t on t.tgrelid = w.m and t.tgname = w.name
$$;

-- Makes the triggers of a source what they should be and says what it did. The caller holds the locks.
create function rowcast.install_triggers(s rowcast.sources) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    t record;
    done text[] := '{}';
begin
    if s.journal is not null
       and (select p.prosrc from pg_proc p where p.oid = to_regprocedure(format('%s()', s.journal))) is distinct from rowcast.journal_body(s) then
        perform rowcast.make_journal_function(s);
        done := done || format('made function %s anew', s.journal);
    end if;
    for t in select * from rowcast.triggers(s) where state in ('wrong', 'surplus') loop
        execute format('drop trigger %I on %s', t.trigger_name, t.member);
        done := done || case when t.state = 'surplus' then format('dropped trigger %I on %s', t.trigger_name, t.member) end;
    end loop;
    for t in select * from rowcast.triggers(s) where state = 'missing' loop
        execute t.statement;
        done := done || format('made trigger %I on %s', t.trigger_name, t.member);
    end loop;
    for t in select * from rowcast.triggers(s) where state = 'disabled' loop
        execute t.statement;
        done := done || format('enabled trigger %I on %s', t.trigger_name, t.member);
    end loop;
    return array_remove(done, null);
end
$$;

-- Why the ids of a direct source can't be followed, as (problem, remedy).
create function rowcast.id_faults(relation regclass, id_column text) returns table (problem text, remedy text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with root as (select rowcast.sequence_of(relation, id_column) as seq)
    select format('column %I of %s draws no ids from a sequence (no identity, no default nextval(''…''::regclass))',
                  id_column, relation),
           format('Give it one: alter table %s alter column %I add generated by default as identity; then setval() it '
                  'to max(%I). Ids made elsewhere are followed through a journal: --journal, in SQL journal => true.',
                  relation, id_column, id_column)
    from root where seq is null
    union all
    select rowcast.sequence_fault(seq),
           format('alter sequence %s cache 1 increment 1 minvalue 1 no cycle; -- and let inserts draw one id each', seq)
    from root where rowcast.sequence_fault(seq) is not null
    union all
    select format('partition %s draws its ids from elsewhere than %s', m, seq),
           format('alter table %s alter column %I set default nextval(%L);', m, id_column, seq)
    from rowcast.members(relation) m, root, pg_attribute a
    where m <> relation and a.attrelid = m and a.attname = id_column and a.atthasdef
      and rowcast.sequence_of(m, id_column) is distinct from seq
$$;

-- Why rows of a source would go unseen or be judged wrongly, as (problem, remedy); no row if all is well.
create function rowcast.faults(s rowcast.sources) returns table (problem text, remedy text)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select f.* from rowcast.id_faults(s.relation, s.id_column) f where s.key_columns is null
    union all
    select format('no unique index names the rows of %s by (%s) any more', s.relation, array_to_string(s.key_columns, ', ')),
           'Make one (neither partial nor deferrable, its columns not null), or attach the table again to choose another key.'
    where not exists (
        select from pg_index i where i.indrelid = s.relation and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null
          and i.indexprs is null and s.key_columns @> array(
            select a.attname::text from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])))
      and s.key_columns is not null
    union all
    select format('%s is fed by a subscription: its ids were drawn on the publisher', m),
           'Attach the table on the publisher, where its rows are inserted; or give it a journal that writes what is replicated, too: '
           '--changes insert,update,delete --always'
    from rowcast.members(s.relation) m
    where not s.always and exists (select from pg_subscription_rel r where r.srrelid = m)
    union all
    select format('journal %s is fed by a subscription: its numbers were drawn on the publisher', s.journal),
           format('Leave it out: drop table from the publication or alter publication … drop table %s;', s.journal)
    where exists (select from pg_subscription_rel r where r.srrelid = s.journal)
    union all
    select format('%s is inherited by %s: %s there fire no trigger here', i.inhparent::regclass, i.inhrelid::regclass,
                  case when s.key_columns is null then 'inserts' else 'changes' end),
           'Attach the children one by one, or make it a partitioned table.'
    from pg_inherits i join pg_class p on p.oid = i.inhparent
    where i.inhparent = s.relation and p.relkind = 'r'
    union all
    select format('partition %s is a foreign table: its rows belong to transactions of another server', m),
           'Detach that partition, or attach the table on the server that holds its rows.'
    from rowcast.members(s.relation) m join pg_class c on c.oid = m
    where c.relkind = 'f'
    union all
    select format('row security on %s applies to role %I, which would silently miss rows', r, current_user),
           format('Run Rowcast as the table''s owner, or: alter role %I bypassrls;', current_user)
    from (select s.relation union all select s.journal where s.journal is not null) r (r)
    where row_security_active(r)
    union all
    select format('role %I, which owns the journal of %s, may not write it any more', c.relowner::regrole::text, s.name),
           format('grant usage on schema rowcast to %s; grant insert on %s to %1$s; -- every insert of the application fails without',
                  c.relowner::regrole, s.journal)
    from pg_class c where c.oid = s.journal
      and not (has_schema_privilege(c.relowner, 'rowcast', 'usage') and has_table_privilege(c.relowner, c.oid, 'insert'))
    union all
    select format('the owner of %s may not execute %s() and can make no partition', s.relation, s.journal),
           format('grant execute on function %s() to %s;', s.journal, c.relowner::regrole)
    from pg_class c where c.oid = s.relation and s.journal is not null
      and not has_function_privilege(c.relowner, to_regprocedure(format('%s()', s.journal)), 'execute')
    union all
    select format('no unique index on %I of %s: of two rows with one id, one would be lost', s.id_column, s.relation),
           case c.relkind when 'p'
               then format('create unique index on %s (%I, …); -- after it the partition key''s other columns, no others',
                           s.relation, s.id_column)
               else format('create unique index concurrently on %s (%I); -- neither partial nor deferrable',
                           s.relation, s.id_column) end
    from pg_class c where c.oid = s.relation and s.key_columns is null and rowcast.unique_beside(s.relation, s.id_column) is null
$$;

-- Who may follow a source may write the registry: these roles, without the current one.
create function rowcast.relays() returns setof name
language sql stable set search_path = pg_catalog, pg_temp as $$
    select distinct r.rolname from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
    join pg_roles r on r.oid = g.grantee
    where c.oid = 'rowcast.sources'::regclass and g.privilege_type = 'UPDATE' and r.rolname <> current_user
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
        for relay in select rowcast.relays() loop
            execute format('grant update on sequence %s to %I', bell, relay);
        end loop;
    end if;
    return bell;
end
$$;

-- Makes the journal of a source, empty, with its sequences and its function; returns the registry's row with them in it.
-- What could not be dropped of a journal before keeps its name, and this one gets the next: a dot is in no source's name.
--
-- No index is unique: an insert of the application must succeed even if somebody set the sequence back. Replica identity full,
-- so that a publication of all tables lets entries be pruned. Vacuum comes when a twentieth is dead, and never takes the lock
-- that writers would wait for to give the file's end back.
create function rowcast.make_journal(s rowcast.sources) returns rowcast.sources
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    suffix text := s.name;
    n int := 1;
    relay name;
begin
    while exists (select from pg_class where relnamespace = 'rowcast'::regnamespace
                  and relname in ('journal_' || suffix, 'ids_' || suffix, 'skips_' || suffix, 'byid_' || suffix, 'byroom_' || suffix))
          or to_regprocedure(format('rowcast.%I()', 'journal_' || suffix)) is not null loop
        n := n + 1;
        suffix := format('%s.%s', s.name, n);
    end loop;
    execute format($ddl$
        create table rowcast.%1$I (
            id bigint not null generated always as identity (sequence name rowcast.%2$I cache 1),
            op "char" not null,
            room text collate "C" not null,
            key jsonb not null,
            at timestamptz not null default clock_timestamp()
        ) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1, vacuum_truncate = off);
        alter table rowcast.%1$I replica identity full;
        create index %3$I on rowcast.%1$I (id);
        create index %4$I on rowcast.%1$I (room, id);
        create sequence rowcast.%5$I;
        comment on table rowcast.%1$I is %6$L;
        comment on sequence rowcast.%5$I is %7$L;
        $ddl$, 'journal_' || suffix, 'ids_' || suffix, 'byid_' || suffix, 'byroom_' || suffix, 'skips_' || suffix,
        format('The changes of %s, source %s: i(nsert), u(pdate), d(elete).', s.relation, s.name),
        format('Counts the changes of %s whose columns were not as source %s has them registered.', s.relation, s.name));
    s.journal := format('rowcast.%I', 'journal_' || suffix);
    s.id_sequence := format('rowcast.%I', 'ids_' || suffix);
    s.skip_sequence := format('rowcast.%I', 'skips_' || suffix);
    s.sequence_filenode := pg_relation_filenode(s.id_sequence);
    for relay in select rowcast.relays() loop
        execute format('grant select, delete on %s to %I', s.journal, relay);
        execute format('grant select, usage on sequence %s, %s to %I', s.id_sequence, s.skip_sequence, relay);
    end loop;
    perform rowcast.make_journal_function(s);
    return s;
end
$$;

-- Drops the bells and journals that belong to no source. Whoever inserted holds his bell's lock up to the end of his
-- transaction, even if a savepoint gave the table's lock back, and a dump holds a journal's; such a one stays for the next call
-- rather than keep a table locked. Definer's rights, which are those of the schema's owner and suffice for all in it: the
-- table's owner detaches, and these may belong to whoever attached.
create function rowcast.drop_unused() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms' set client_min_messages = warning as $$
declare
    unused record;
begin
    delete from rowcast.truncations t where not exists (select from rowcast.sources s where s.name = t.source and s.journal is not null);
    for unused in
        select 'function' as kind, p.oid::regprocedure::text as name, 1 as nr from pg_proc p
        where p.pronamespace = 'rowcast'::regnamespace and p.prorettype = 'trigger'::regtype and p.proname ~ '^journal_'
          and not exists (select from rowcast.sources s join pg_class j on j.oid = s.journal where j.relname = p.proname)
        union all
        select case c.relkind when 'r' then 'table' else 'sequence' end, c.oid::regclass::text, case c.relkind when 'r' then 2 else 3 end
        from pg_class c
        where c.relnamespace = 'rowcast'::regnamespace
          and (c.relkind = 'S' and c.relname ~ '^(bell|skips)_' or c.relkind = 'r' and c.relname ~ '^journal_')
          and not exists (select from rowcast.sources s where c.oid in (s.bell, s.journal, s.skip_sequence))
        order by nr
    loop
        begin
            execute format('drop %s %s', unused.kind, unused.name);
        exception when lock_not_available or insufficient_privilege or dependent_objects_still_exist then
            null;
        end;
    end loop;
end
$$;
