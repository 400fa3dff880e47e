-- The functions of the triggers on an attached table. They read none of its columns and write nothing into it.
--
-- A trigger's function runs whoever inserts, with no right on schema rowcast: PostgreSQL checks EXECUTE when a trigger
-- is made, not when it fires. Every name is qualified, so that the inserting session's search_path decides nothing.

-- Never called: the work is done by the trigger's condition, pg_current_xact_id() = '0', which gives the transaction
-- its id before the executor evaluates the first default and so before it draws the row's id.
create function rowcast.own_xid() returns trigger language plpgsql as $$
begin
    return null;
end
$$;

-- The bell: a wake-up that names the source and carries no row. It stays silent while the notification queue is half
-- full or more, because a full queue fails the commit of whoever notified.
create function rowcast.ring() returns trigger language plpgsql as $$
begin
    if pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.5::pg_catalog.float8 then
        perform pg_catalog.pg_notify('rowcast', tg_argv[0]);
    end if;
    return null;
end
$$;

-- TRUNCATE begins a new epoch, in the truncating transaction. Definer's rights, since whoever truncates may have none on
-- the registry. tg_relid is compared so that a trigger that a stranger makes on a table of his own changes nothing here.
-- The id sequence may be unreadable or gone: 0 is then right too, nothing stands below it any more.
create function rowcast.truncated() returns trigger language plpgsql security definer set search_path = '' as $$
declare
    silent boolean;
begin
    update rowcast.sources s
    set epoch = s.epoch + 1,
        start_id = case when has_sequence_privilege(s.id_sequence, 'select, usage')
                        then coalesce(pg_sequence_last_value(s.id_sequence), 0) else 0 end,
        sequence_filenode = coalesce(pg_relation_filenode(s.id_sequence), 0)
    where s.name = tg_argv[0] and s.relation = tg_relid
    returning s.never_ring into silent;
    if not silent and pg_notification_queue_usage() < 0.5 then
        perform pg_notify('rowcast', tg_argv[0]);
    end if;
    return null;
end
$$;
