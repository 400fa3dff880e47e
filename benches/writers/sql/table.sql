-- The application's table: a key from a sequence, a room, 100 bytes, and the index that a room's rows are read by.
create table messages (
    id bigint generated always as identity primary key,
    room text not null,
    body text not null
);
create index on messages (room, id);
