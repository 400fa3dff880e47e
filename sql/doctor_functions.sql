-- The functions that the triggers' conditions and the bell call as whoever inserts, and that not everybody may execute.
select fn::text as name, pg_catalog.format('grant execute on function pg_catalog.%s to public;', fn) as remedy
  from unnest(array['pg_current_xact_id()', 'has_sequence_privilege(oid,text)', 'pg_sequence_last_value(regclass)',
                    'pg_notify(text,text)', 'pg_notification_queue_usage()']::pg_catalog.regprocedure[]) fn
 where not pg_catalog.has_function_privilege('public', fn, 'execute')
 order by 1
