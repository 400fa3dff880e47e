-- Writers ring no more, and every relay is told to poll. $1: the bell's sequence, $2: the source's name.
-- setval takes effect at once, the notification at the commit: between the two a sleeping relay's wake-up is on its way.
select pg_catalog.setval($1::pg_catalog.oid::pg_catalog.regclass, 0),
       pg_catalog.pg_notify('rowcast', 'busy:' operator(pg_catalog.||) $2::pg_catalog.text)
