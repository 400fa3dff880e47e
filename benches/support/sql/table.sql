-- The application's table: a key from a sequence, a room, a text, the index that a room's rows are read by, and what a
-- relay of the least rights needs of it.
create table messages (
    id bigint generated always as identity primary key,
    room text not null,
    body text not null
);
create index on messages (room, id);
grant select on messages to relay;
grant select on sequence messages_id_seq to relay;
