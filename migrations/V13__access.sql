-- Access: tickets, and the call by which an application says that somebody's rights have changed.

-- A ticket stands in for a token once. Only its hash is kept, and what it is for is sealed with it: whoever may read this table
-- (the owners of attached tables may, or pg_dump would fail them) can neither use what is in it nor learn whose it is.
-- Unlogged: a ticket lives for seconds, and claims have no business in WAL archives, standbys and publications. A crash
-- empties it, and the clients ask for new ones.
create unlogged table rowcast.tickets (
    hash             bytea primary key,                      -- SHA-256 of the ticket's 32 bytes
    contents         bytea not null,                         -- source, rooms and claims, AES-256-GCM with a key made of the ticket
    expires_at       timestamptz not null
);
create index on rowcast.tickets (expires_at);

comment on table rowcast.tickets is 'Tickets that were issued and not used yet. Relays delete them as they are used, or expire.';

-- Says that who may read a room may have changed: every relay asks again for those who read it. Without a room: all rooms;
-- without a source: of all sources. It does nothing but notify, and in the caller's transaction: nobody hears of a change that
-- is rolled back, and nobody asks before it can be seen.
--
-- Any role of the database may LISTEN, so that the room is named by a hash; of its UTF-8, whatever the database's encoding is. A
-- text that has none names all rooms: too many are asked for, never too few. SHA-256, since a server in FIPS mode has no md5.
-- It must not fail the statement that calls it, so like a bell it is silent while the notification queue is half full or more;
-- those who read are asked for again after --reauthorize-interval anyhow. Every name is qualified, so that the caller's
-- search_path decides nothing.
create function rowcast.reauthorize(room text default null, source text default null) returns void language plpgsql as $$
declare
    hash text := '*';
begin
    if room is not null then
        begin
            hash := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(room, 'UTF8')), 'hex');
        exception when others then
            null;
        end;
    end if;
    if pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.5::pg_catalog.float8 then
        perform pg_catalog.pg_notify('rowcast', pg_catalog.concat('reauthorize:', hash, ':',
            case when source operator(pg_catalog.~) '^[a-z0-9_-]{1,40}$' then source end));
    end if;
end
$$;

comment on function rowcast.reauthorize(text, text) is
    'Called by applications: who may read the room (null: any) of the source (null: any) may have changed.';

-- PostgreSQL's default, unless somebody altered the default privileges.
grant execute on function rowcast.reauthorize(text, text) to public;

-- Those who may follow sources could do so before this table was made; and pg_dump by the owners of attached tables goes on working.
do $grants$
declare
    relay name;
begin
    for relay in select rowcast.relays() loop
        execute pg_catalog.format('grant select, insert, update, delete on rowcast.tickets to %I', relay);
    end loop;
    perform rowcast.grant_to_owner(c.oid) from rowcast.sources s join pg_catalog.pg_class c on c.oid = s.relation;
end
$grants$;
