-- What this role lacks to follow all that is attached, a row for each object: the source that needs it (null: all of them),
-- what is lacking, what for, and the grant. An object that is gone lacks nothing.
--   $1 whether clients may publish
with needed (source, kind, oid, name, privileges, purpose) as (
    select null, 'table', pg_catalog.to_regclass('rowcast.' || n.name)::oid, 'rowcast.' || n.name, n.privileges, n.purpose
      from (values ('sources', '{select,update}'::text[], 'know what is attached, begin an epoch and prune'),
                   ('positions', '{select,insert,update}', 'save how far it has seen'),
                   ('truncations', '{select}', 'notice TRUNCATEs of partitions'),
                   ('tickets', '{select,insert,delete}', 'issue tickets and take them back')) n (name, privileges, purpose)
    union all
    select s.name, 'schema', c.relnamespace, pg_catalog.quote_ident(n.nspname), '{usage}', 'reach the table'
      from rowcast.sources s join pg_catalog.pg_class c on c.oid = s.relation join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    union all
    select s.name, 'table', c.oid, s.relation::text, case when $1::boolean then '{select,insert}'::text[] else '{select}' end,
           case when $1 then 'read its rows and insert what is published' else 'read its rows' end
      from rowcast.sources s join pg_catalog.pg_class c on c.oid = s.relation
    union all
    select s.name, 'table', c.oid, s.journal::text, '{select,delete}', 'read and prune its journal'
      from rowcast.sources s join pg_catalog.pg_class c on c.oid = s.journal
    union all
    select s.name, 'sequence', c.oid, q.sequence::text, q.privileges, q.purpose
      from rowcast.sources s
     cross join lateral (values (s.id_sequence, '{select}'::text[], 'tell which ids were drawn'),
                                (s.skip_sequence, '{select}', 'notice changes that were skipped'),
                                (s.bell, '{select,update}', 'set its bell')) q (sequence, privileges, purpose)
      join pg_catalog.pg_class c on c.oid = q.sequence
    union all
    -- An identity column's sequence is drawn from with the rights of the table.
    select s.name, 'sequence', d.refobjid, d.refobjid::pg_catalog.regclass::text, '{usage}', 'draw the ids of what is published'
      from rowcast.sources s
      join pg_catalog.pg_attrdef f on f.adrelid = s.relation
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = f.oid
                                 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      join pg_catalog.pg_class q on q.oid = d.refobjid and q.relkind = 'S'
     where $1
    union all
    select null, 'function', p.oid, p.oid::pg_catalog.regprocedure::text, '{execute}', 'look at what is attached'
      from pg_catalog.pg_proc p
     where p.pronamespace = 'rowcast'::pg_catalog.regnamespace and p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
), lacking as (
    select n.*, p.privilege, p.nr
      from needed n, unnest(n.privileges) with ordinality p (privilege, nr)
     where not case n.kind
               when 'schema' then pg_catalog.has_schema_privilege(n.oid, p.privilege)
               when 'sequence' then pg_catalog.has_sequence_privilege(n.oid, p.privilege)
               when 'function' then pg_catalog.has_function_privilege(n.oid, p.privilege)
               -- Of a table whose columns are granted one by one, those that are read or written must be known elsewhere.
               else pg_catalog.has_table_privilege(n.oid, p.privilege)
                    or p.privilege in ('select', 'insert') and pg_catalog.has_any_column_privilege(n.oid, p.privilege) end
)
select source::text, name::text, string_agg(privilege, ', ' order by nr) as privileges, purpose::text,
       pg_catalog.format('grant %s on %s%s to %I;', string_agg(privilege, ', ' order by nr),
                         case when kind = 'table' then '' else kind || ' ' end, name, current_user) as remedy
  from lacking
 where kind <> 'function'
 group by source, kind, name, purpose
union all
select null, 'functions of schema rowcast', 'execute', min(purpose),
       pg_catalog.format('grant execute on all functions in schema rowcast to %I;', current_user)
  from lacking
 where kind = 'function'
having count(*) > 0
 order by 1 nulls first, 2
