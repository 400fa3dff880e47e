-- Pruning: what is older than the registry says leaves a journal in small batches, oldest first.

-- Deletes at most `batch` entries of a source's journal and returns how many; 0 also where another relay is at it or the registry's
-- row is in use. Only what the tail has closed goes: an entry that commits late stays until a tail has seen it. What lies at or
-- below start_id is of an epoch that is over and may go at once. The registry's row is locked before the journal is touched, as in
-- a TRUNCATE and in attach.
create function rowcast.prune(source text, batch int) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    s rowcast.sources;
    bound bigint;
    last bigint;
    deleted bigint;
begin
    if not pg_try_advisory_xact_lock('rowcast.positions'::regclass::int, 0) then
        return 0;
    end if;
    select * into s from rowcast.sources o where o.name = prune.source and o.journal is not null for update skip locked;
    if s.name is null or batch < 1 then
        return 0;
    end if;
    select least(p.high, (select min(low) - 1 from unnest(p.gap_lows) low)) into bound
    from rowcast.positions p where p.source = s.name and p.epoch = s.epoch;
    if s.keep_rows is not null and bound is not null then
        bound := least(bound, coalesce(pg_sequence_last_value(s.id_sequence), 0) - s.keep_rows);
    end if;
    -- greatest and least ignore null: without a position, only what is over goes.
    bound := greatest(bound, s.start_id);
    execute format($sql$
        with head as materialized (
            select id, at from %1$s where id > $1 and id <= $2 order by id limit $3
        )
        select max(id) from head
        where id <= coalesce((select min(id) - 1 from head where id > $4 and at > clock_timestamp() - $5), id)
        $sql$, s.journal) into last using s.pruned_to, bound, batch, s.start_id, s.keep_for;
    -- An entry's number, not one that was rolled back: who has seen all entries has not come too late.
    if last is null then
        return 0;
    end if;
    execute format('delete from %s where id > $1 and id <= $2', s.journal) using s.pruned_to, last;
    get diagnostics deleted = row_count;
    update rowcast.sources o set pruned_to = last where o.name = s.name;
    return deleted;
end
$$;

comment on function rowcast.prune(text, int) is 'Called by relays. Deletes the oldest entries of a journal, as its keep says.';
