-- Before the epoch of a journal is raised: entries above its sequence are of a numbering that somebody set back. The numbers
-- will be drawn again, and one must name one entry. What is deleted here was committed before the new epoch.
--   $1 the journal's sequence
delete from {journal}
 where id > coalesce(pg_catalog.pg_sequence_last_value($1::pg_catalog.oid::pg_catalog.regclass), 0)
