-- What attach warned of, as it is now, but for indexes: PostgreSQL's plans say more about those. $1: the source
select case when w like '%is unlogged:%' then 'unlogged'
            when w like '%is unique only together with%' then 'unique_per_partition'
            when w like 'publication %' then 'publication_of_all_tables'
            when w like 'trigger %' then 'trigger_after_statement'
            else 'attach_warning' end as code,
       w as problem
  from rowcast.sources s, unnest(rowcast.attach_warnings(s)) w
 where s.name = $1 and w not like 'no index on %'
