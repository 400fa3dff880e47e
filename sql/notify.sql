-- $1: the payload.
select pg_catalog.pg_notify('rowcast', $1::pg_catalog.text)
