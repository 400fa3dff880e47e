-- What many applications do by hand: the row travels in the payload of a NOTIFY. A payload has less than 8,000 bytes
-- (PostgreSQL's manual, NOTIFY): of a longer row only its key does, and the server fetches it.
create or replace function notify_message() returns trigger language plpgsql as $$
declare
    payload text := row_to_json(new)::text;
begin
    if octet_length(payload) > 7900 then
        payload := json_build_object('id', new.id, 'room', new.room)::text;
    end if;
    perform pg_notify('messages', payload);
    return null;
end
$$;
create or replace trigger notify_message after insert on messages for each row execute function notify_message();
