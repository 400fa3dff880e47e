-- Deletes at most $1 expired tickets. Those that another relay is at are left to it.
with expired as (
    select hash from rowcast.tickets where expires_at <= pg_catalog.now() order by expires_at limit $1 for update skip locked
), deleted as (
    delete from rowcast.tickets t using expired where t.hash = expired.hash returning 1
)
select count(*) as deleted from deleted
