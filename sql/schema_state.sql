-- What stands of schema rowcast and what this role may do with it. Asks the catalog only, so it needs no privilege.
select current_user::text as role,
       coalesce(pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(h.oid, 'select'), false)
           as history_readable,
       h.oid is not null as history_exists,
       case when n.oid is null then pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')
            else pg_catalog.pg_has_role(n.nspowner, 'usage') end as may_migrate,
       coalesce(pg_catalog.pg_get_userbyid(n.nspowner), pg_catalog.pg_get_userbyid(d.datdba))::text as owner
from pg_catalog.pg_database d
left join pg_catalog.pg_namespace n on n.nspname = 'rowcast'
left join pg_catalog.pg_class h on h.relnamespace = n.oid and h.relname = 'migrations'
where d.datname = pg_catalog.current_database()
