-- Statements that sessions of this database have run so far.
select coalesce(sum(calls), 0)::bigint
from pg_stat_statements s
join pg_database d on d.oid = s.dbid
where d.datname = $1
