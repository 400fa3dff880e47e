-- What is wrong with a source although it can be followed: rows would be missed, judged wrongly or seen late. In words, with a
-- code for those that look further (rowcast.faults has none).
select case when case when s.id_column is not null then f.problem in (select i.problem from rowcast.id_faults(s.relation, s.id_column) i) end then
                case when f.problem like 'partition %' then 'partition_sequence'
                     when f.problem like 'column %' then 'no_sequence' else 'sequence_settings' end
            when f.problem like '%is fed by a subscription:%' then 'subscription'
            when f.problem like '%is inherited by%' then 'inheritance_children'
            when f.problem like 'partition % is a foreign table:%' then 'foreign_partition'
            when f.problem like 'row security on %' then 'row_security'
            when f.problem like 'no unique index %' then 'no_unique_index'
            when f.problem like 'role %, which owns the journal %' then 'journal_owner'
            when f.problem like 'the owner of % may not execute %' then 'journal_function'
            when f.problem like 'column rowcast_row of %' then 'reserved_column'
            when f.problem like '% is a virtual generated column' then 'virtual_column'
            else 'fault' end as code,
       f.problem, f.remedy
from rowcast.sources s, rowcast.faults(s) f
where s.name = $1
union all
select 'time_column',
       pg_catalog.format('latency is not measured: time column %I is gone, no timestamp, or not to be read', s.time_column),
       pg_catalog.format('attach the table again, or: grant select (%I) on %s to %I;', s.time_column, s.relation, current_user)
from rowcast.sources s
where s.name = $1 and s.time_column is not null and not exists (
    select from pg_catalog.pg_attribute t
    where t.attrelid = s.relation and t.attname = s.time_column and t.attnum > 0 and not t.attisdropped and t.atttypid in (1114, 1184)
      and pg_catalog.has_column_privilege(s.relation::oid, t.attnum, 'select'))
union all
select 'trigger', pg_catalog.format('trigger %I on %s is %s', t.trigger_name, t.member, t.state), 'attach the table again'
from rowcast.sources s, rowcast.triggers(s) t
where s.name = $1 and t.state <> 'ok'
union all
select 'missing_privilege', pg_catalog.format('role %I may not %s', current_user, g.purpose),
       pg_catalog.format('grant %s on rowcast.%s to %I;', g.wanted, g.name, current_user)
from (values ('positions', 'select, insert, update', 'save how far it has seen'),
             ('sources', 'select, update', 'begin an epoch or prune a journal')) g (name, wanted, purpose)
where not (select bool_and(pg_catalog.has_table_privilege('rowcast.' || g.name, p)) from unnest(string_to_array(g.wanted, ', ')) p)
