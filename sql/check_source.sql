-- What is wrong with a source although it can be followed: rows would be missed, judged wrongly or seen late. In words.
select f.problem || ' (' || f.remedy || ')' as finding
from rowcast.sources s, rowcast.faults(s) f
where s.name = $1
union all
select pg_catalog.format('trigger %I on %s is %s (attach the table again)', t.trigger_name, t.member, t.state)
from rowcast.sources s, rowcast.triggers(s) t
where s.name = $1 and t.state <> 'ok'
