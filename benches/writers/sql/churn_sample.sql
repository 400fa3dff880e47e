-- How the journal stands: entries written and pruned so far, its bytes, its dead tuples, how old its oldest entry is.
select s.sequence_last, s.pruned_to,
       pg_table_size(s.journal) as table_bytes,
       pg_indexes_size(s.journal) as index_bytes,
       coalesce(t.n_dead_tup, 0) as dead_tuples,
       coalesce(t.autovacuum_count, 0) as vacuums,
       coalesce(f.calls, 0) as batches,
       coalesce(f.total_time, 0) as prune_milliseconds,
       coalesce((select extract(epoch from clock_timestamp() - j.at)::float8
                 from rowcast.journal_messages j where j.id > s.pruned_to order by j.id limit 1), 0) as oldest_seconds,
       pg_total_relation_size('rowcast.sources') + pg_total_relation_size('rowcast.positions') as registry_bytes
from (select *, coalesce(pg_sequence_last_value(id_sequence), 0) as sequence_last from rowcast.sources where name = 'messages') s
left join pg_stat_user_tables t on t.relid = s.journal
left join pg_stat_user_functions f on f.schemaname = 'rowcast' and f.funcname = 'prune'
