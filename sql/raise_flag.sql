-- Writers ring from now on. $1: the bell's sequence.
select pg_catalog.setval($1::pg_catalog.oid::pg_catalog.regclass, 1)
