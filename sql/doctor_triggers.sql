-- The triggers of a source that are not as they should be, and the statement that mends each. $1: the source
select t.member::text as member, t.member <> s.relation as is_partition, t.trigger_name, t.state,
       case g.tgenabled when 'D' then 'disabled' when 'R' then 'enabled for replicas alone' when 'A' then 'enabled always'
            else 'enabled' end as enabled,
       case when t.state = 'disabled' then t.statement || ';' else a.statement end as remedy
  from rowcast.sources s
 cross join rowcast.triggers(s) t
 cross join lateral (
    -- Attaching again with the options that are registered.
    select pg_catalog.format('select rowcast.attach(%L, room => %L, id => %L, columns => %L, source => %L, never_ring => %L, '
                             'changes => %L, journal => %L, keep => %L, always => %L, per_statement => %L);',
               s.relation, coalesce(s.room_expression, s.room_column),
               case when s.key_columns is null then s.id_column when pg_catalog.cardinality(s.key_columns) = 1 then s.key_columns[1] end,
               s.columns, s.name, s.never_ring, s.changes, s.key_columns is not null,
               coalesce(s.keep_rows || ' rows', s.keep_for::text, '7d'), s.always, s.per_statement)
 ) a (statement)
  left join pg_catalog.pg_trigger g on g.tgrelid = t.member and g.tgname = t.trigger_name
 where s.name = $1 and t.state <> 'ok'
 order by t.member <> s.relation, t.member::text, t.trigger_name
