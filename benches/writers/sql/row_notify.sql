-- What many applications do by hand: the row travels in the payload of a NOTIFY.
create function notify_row() returns trigger language plpgsql as $$
begin
    perform pg_notify('messages', row_to_json(new)::text);
    return null;
end
$$;
create trigger notify_row after insert on messages for each row execute function notify_row();
