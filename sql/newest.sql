-- The newest rows of a journal's table by the order of their key, as they stand now. A row whose insertion the tail has
-- not seen is left out: its entry follows.
--   $1 source, $2 and $3 the keys between which to look, $8 and $9 lows and highs of the entries that were not seen;
--   the others as in contents.sql and candidates_*.sql
with unseen as materialized (
    select (rowcast_entry.key ->> {key_name})::bigint as id
      from {journal} rowcast_entry, unnest($8::bigint[], $9::bigint[]) as open (low, high)
     where rowcast_entry.id between open.low and open.high and rowcast_entry.op = 'i'
)
{contents}
