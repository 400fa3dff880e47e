-- The column that says when a row was written, for the histogram of how long events are under way. It needs no lock on the
-- table: nothing of what is delivered depends on it.

alter table rowcast.sources add column time_column text;      -- null: latency is not measured

comment on column rowcast.sources.time_column is 'When a row was written: only the relays'' metrics use it.';

drop function rowcast.attach(text, text, text, text[], text, boolean, text[], boolean, text, boolean, boolean);

create function rowcast.refuse_time(relation regclass, time_column text, has_journal boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    found_type regtype;
begin
    if time_column is null then
        return;
    end if;
    if has_journal then
        perform rowcast.refuse('invalid_parameter_value', 'a journal notes by itself when each change was made',
            'Leave --time away, in SQL time_column.');
    end if;
    found_type := rowcast.column_type(relation, time_column);
    if found_type not in ('timestamptz'::regtype, 'timestamp'::regtype) then
        perform rowcast.refuse('datatype_mismatch', format('time column %I of %s is of type %s', time_column, relation, found_type),
            'It must be a timestamp, with time zone or (in UTC) without.');
    end if;
end
$$;

-- Notes the column and tells the relays; returns what it changed, in words.
create function rowcast.note_time(source text, wanted text) returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    update rowcast.sources s set time_column = wanted where s.name = source and s.time_column is distinct from wanted;
    if not found then
        return '{}';
    end if;
    perform pg_notify('rowcast', 'sources:');
    return array[format('source %s measures latency %s', source, coalesce('from ' || quote_ident(wanted), 'no longer'))];
end
$$;

-- attach_report with the time column: it is as this attach says, like the columns to send.
create function rowcast.attach_timed(
    tbl regclass, room rowcast.room, id text, cols text[], source text, never boolean, wanted text[], journal boolean, keep text,
    always boolean, per_statement boolean, time_column text) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    report jsonb;
    changed text[];
begin
    perform rowcast.refuse_time(tbl, time_column, coalesce(journal, coalesce(wanted, '{insert}') <> '{insert}'));
    report := rowcast.attach_report(tbl, room, id, cols, source, never, wanted, journal, keep, always, per_statement);
    changed := rowcast.note_time(report ->> 'source', time_column);
    if changed = '{}' then
        return report;
    end if;
    return report || jsonb_build_object('changes', report -> 'changes' || to_jsonb(changed),
        'state', case report ->> 'state' when 'unchanged' then 'changed' else report ->> 'state' end);
end
$$;

create function rowcast.attach(
    relation text, room text, id text default null, columns text[] default null, source text default null,
    never_ring boolean default null, changes text[] default '{insert}', journal boolean default null, keep text default '7d',
    always boolean default false, per_statement boolean default false, time_column text default null) returns text
language plpgsql as $$
declare
    tbl pg_catalog.regclass := rowcast.table_named(relation);
    report pg_catalog.jsonb := rowcast.attach_timed(tbl, rowcast.room_named(tbl, room), id, columns, source, never_ring, changes, journal,
                                                    keep, always, per_statement, time_column);
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
