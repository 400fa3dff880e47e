-- Before refinery, whose history table stands in the schema. A schema that an administrator made for this role serves
-- as well: "create schema if not exists" would ask for CREATE on the database even then.
do $do$
begin
    if not exists (select from pg_catalog.pg_namespace where nspname = 'rowcast') then
        create schema rowcast;
    end if;
end
$do$;
