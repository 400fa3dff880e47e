-- What an application that has chat rooms might have, and an index that replays can use.
create table messages (
    id         bigint generated always as identity primary key,
    room_id    text not null,
    author     text,
    body       text not null check (length(body) between 1 and 2000),
    -- The sender's own mark: a message that was sent twice, since the first answer got lost, is there once, and a page
    -- that shows what it sends at once finds it again in the event.
    nonce      text unique,
    -- Not now(), the beginning of the transaction: the page shows how long after this a message arrives.
    created_at timestamptz not null default clock_timestamp(),
    edited_at  timestamptz
);
create index messages_room_id on messages (room_id, id);
