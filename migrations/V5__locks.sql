-- How attach, detach and uninstall wait for locks: a second in all, because everybody who writes the table waits behind
-- who waits for it, and behind who waits for something else while holding it. A shorter lock_timeout of the session's own
-- holds too. What is held by others for long is therefore asked for first: the registry, then the table with its
-- partitions, then (as in a TRUNCATE) the registry's rows.

-- Until when a call that begins to wait now may wait.
create function rowcast.deadline() returns timestamptz
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select clock_timestamp() + least(1000, nullif(setting::int, 0)) * interval '1 ms' from pg_settings where name = 'lock_timeout'
$$;

-- Makes lock_timeout end at the deadline, up to the end of the transaction: the caller puts it back. What comes late, after
-- much work rather than much waiting, still waits for locks that others hold for a moment.
create function rowcast.wait_until(deadline timestamptz) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select set_config('lock_timeout', greatest(20, ceil(extract(epoch from deadline - clock_timestamp()) * 1000))::int::text, true)
$$;

-- Ends the call because something is in use, naming the sessions that have it.
create function rowcast.blocked(problem text, holders text[]) returns void language plpgsql as $$
begin
    raise exception using errcode = 'lock_not_available', message = problem,
        detail = coalesce(nullif(pg_catalog.array_to_string(holders, '; '), ''), 'who held it has let go by now'),
        hint = 'Nothing was changed. Try again when these transactions are over.';
end
$$;

-- One attach, detach or uninstall at a time. It comes before the table's lock: the one before may be part of a long
-- transaction, and the table's writers must not wait for that one's end.
create function rowcast.lock_registry(deadline timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform rowcast.wait_until(deadline);
    perform pg_advisory_xact_lock('rowcast.sources'::regclass::int, 0);
exception when lock_not_available then
    perform rowcast.blocked('another attach, detach or uninstall is under way',
        array(select rowcast.blockers(null, 'access exclusive')));
end
$$;

-- Locks a table and its partitions, one by one and within the deadline for all of them.
create function rowcast.lock_table(relation regclass, mode text, deadline timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    member regclass;
begin
    for member in select m from rowcast.members(relation) m order by m <> relation, m loop
        perform rowcast.wait_until(deadline);
        execute format('lock table only %s in %s mode', member, mode);
    end loop;
exception when lock_not_available then
    perform rowcast.blocked(format('table %s is in use and was not locked in time', relation),
        array(select rowcast.blockers(relation, mode)));
end
$$;
