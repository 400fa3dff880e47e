-- The registry of attached tables and the saved positions of their tails.

create table rowcast.sources (
    name              text primary key check (name ~ '^[a-z0-9_-]{1,40}$'),
    ordinal           bigint generated always as identity,  -- the first attached is the default source
    relation          regclass not null,
    id_column         text not null,
    room_column       text not null,
    columns           text[],                                -- null: every column of the table
    id_sequence       regclass not null,
    sequence_filenode oid not null,                          -- pg_relation_filenode(id_sequence) in this epoch
    bell              regclass not null,                     -- the sequence used as a flag, 1: ring, 0: someone polls
    never_ring        boolean not null default false,        -- relays keep the flag at 0
    epoch             bigint not null,                       -- random in [1, 2^47) at attach, + 1 when raised
    start_id          bigint not null,                       -- every id up to here is closed in this epoch
    attached_at       timestamptz not null default now()
);

create table rowcast.positions (
    source        text primary key references rowcast.sources (name) on delete cascade,
    epoch         bigint not null,
    high          bigint not null,
    gap_lows      bigint[] not null,
    gap_highs     bigint[] not null,
    highest_drawn bigint not null,
    saved_at      timestamptz not null default now()
);

comment on schema rowcast is 'Rowcast: attached tables and their bells. Remove with "rowcast uninstall".';
comment on table rowcast.sources is 'One row for each attached table; written by rowcast.attach and rowcast.detach.';
comment on table rowcast.positions is 'How far a tail has seen its source: whoever starts next begins here. Any saved position is true.';
