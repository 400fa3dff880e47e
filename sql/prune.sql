-- Deletes what a journal need not keep any longer, and returns how many entries. $1 source, $2 most entries
select rowcast.prune($1::text, $2::bigint::int) as deleted
