-- How many connections there may be, and how many others than relays have. Those are named `rowcast …`, as is this one.
with session as (
    select a.usename, a.datname, a.application_name like 'rowcast %' as is_relays
      from pg_catalog.pg_stat_activity a
     where a.usesysid is not null and a.datid is not null
)
select pg_catalog.current_setting('max_connections')::int as most,
       r.rolsuper as is_superuser,
       pg_catalog.current_setting('superuser_reserved_connections')::int
           + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int as reserved,
       (select count(*) from session where not is_relays) as others,
       nullif(r.rolconnlimit, -1) as most_of_role,
       (select count(*) from session where usename = current_user and not is_relays) as others_of_role,
       nullif(d.datconnlimit, -1) as most_of_database,
       (select count(*) from session where datname = d.datname and not is_relays) as others_of_database,
       pg_catalog.quote_ident(current_user) as role,
       pg_catalog.quote_ident(d.datname) as database
  from pg_catalog.pg_roles r, pg_catalog.pg_database d
 where r.rolname = current_user and d.datname = pg_catalog.current_database()
