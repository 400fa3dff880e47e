-- What some indexes begin with, a column's name or an expression. $1 their schemas, $2 their names
select i.name, coalesce(a.attname::text, pg_catalog.pg_get_indexdef(x.indexrelid, 1, false)) as first
  from unnest($1::text[], $2::text[]) i (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = i.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = i.name
  join pg_catalog.pg_index x on x.indexrelid = c.oid
  left join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0] and x.indkey[0] <> 0
