-- What an application that has chat rooms might have, and an index that replays can use.
create table messages (
    id         bigint generated always as identity primary key,
    room_id    text not null,
    author     text,
    body       text,
    created_at timestamptz not null default now()
);
create index messages_room_id on messages (room_id, id);
