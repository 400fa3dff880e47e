-- For operators: the numbering of ids begins anew, although nothing in the database shows it. After a copy of the files was restored, or
-- a failover lost rows, ids are given out again that subscribers' cursors hold for seen.

-- Begins a new epoch of one source, or of all; gives their names. Every cursor of before is void, and every subscriber is reset.
-- As in sql/raise_epoch.sql: what is visible then is taken as seen.
create function rowcast.begin_epoch(source text default null) returns setof text
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if begin_epoch.source is not null and not exists (select from rowcast.sources s where s.name = begin_epoch.source) then
        raise exception 'there is no source %', quote_ident(begin_epoch.source) using errcode = 'undefined_object';
    end if;
    return query
        update rowcast.sources s
           set epoch = s.epoch + 1,
               start_id = -1,
               pruned_to = 0,
               truncations = (select count(*) from rowcast.truncations t where t.source = s.name),
               skips = coalesce(pg_sequence_last_value(s.skip_sequence), 0),
               sequence_filenode = coalesce(pg_relation_filenode(s.id_sequence), 0::oid)
         where begin_epoch.source is null or s.name = begin_epoch.source
        returning s.name;
    perform pg_notify('rowcast', 'sources:');
end
$$;

comment on function rowcast.begin_epoch(text) is
    'Begins a new epoch of a source, or of all: after a restore or a failover that lost rows. Every subscriber is reset.';
