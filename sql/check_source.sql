-- What is wrong with a source although it can be followed: rows would be missed, judged wrongly or seen late. In words.
select f.problem || ' (' || f.remedy || ')' as finding
from rowcast.sources s, rowcast.faults(s) f
where s.name = $1
union all
select pg_catalog.format('latency is not measured: time column %I is gone, no timestamp, or not to be read (attach the table again, or: grant select (%1$I) on %s to %I;)',
                         s.time_column, s.relation, current_user)
from rowcast.sources s
where s.name = $1 and s.time_column is not null and not exists (
    select from pg_catalog.pg_attribute t
    where t.attrelid = s.relation and t.attname = s.time_column and t.attnum > 0 and not t.attisdropped and t.atttypid in (1114, 1184)
      and pg_catalog.has_column_privilege(s.relation::oid, t.attnum, 'select'))
union all
select pg_catalog.format('trigger %I on %s is %s (attach the table again)', t.trigger_name, t.member, t.state)
from rowcast.sources s, rowcast.triggers(s) t
where s.name = $1 and t.state <> 'ok'
union all
select pg_catalog.format('role %I may not %s (grant %s on rowcast.%s to %1$I;)', current_user, g.purpose, g.wanted, g.name)
from (values ('positions', 'select, insert, update', 'save how far it has seen'),
             ('sources', 'select, update', 'begin an epoch or prune a journal')) g (name, wanted, purpose)
where not (select bool_and(pg_catalog.has_table_privilege('rowcast.' || g.name, p)) from unnest(string_to_array(g.wanted, ', ')) p)
