-- Settings with which writers would lose rows or skip triggers, wherever they are set: for all, a database or a role.
select 'for every session' as whom, s.name, s.setting as value,
       pg_catalog.format('alter system reset %s; select pg_catalog.pg_reload_conf();', s.name) as remedy
  from pg_catalog.pg_settings s
 where (s.name, s.setting) in (('synchronous_commit', 'off'), ('session_replication_role', 'replica'))
   and s.source in ('configuration file', 'command line', 'environment variable', 'default')
union all
select 'for ' || coalesce(nullif(pg_catalog.concat_ws(' in ', 'role ' || r.rolname, 'database ' || b.datname), ''), 'all roles'),
       pg_catalog.split_part(c, '=', 1), pg_catalog.split_part(c, '=', 2),
       case when d.setrole = 0 and d.setdatabase = 0 then 'alter role all'
            when d.setrole = 0 then pg_catalog.format('alter database %I', b.datname)
            when d.setdatabase = 0 then pg_catalog.format('alter role %I', r.rolname)
            else pg_catalog.format('alter role %I in database %I', r.rolname, b.datname) end
       || pg_catalog.format(' reset %s;', pg_catalog.split_part(c, '=', 1))
  from pg_catalog.pg_db_role_setting d
 cross join unnest(d.setconfig) c
  left join pg_catalog.pg_roles r on r.oid = d.setrole
  left join pg_catalog.pg_database b on b.oid = d.setdatabase
 where c in ('synchronous_commit=off', 'session_replication_role=replica')
   and (d.setdatabase = 0 or b.datname = pg_catalog.current_database())
