-- The row that an entry of a journal speaks of, as it stands now, if it is still in the entry's room; null if not.
(select {row_json}
   from pg_catalog.jsonb_to_record((picked.r).key) as rowcast_key ({key_definition})
  cross join lateral (
    select rowcast_row as r
      from {table} rowcast_row
     where {key_equality}
       and ({table_room}) collate pg_catalog."C" = (picked.r).room
  ) chosen
  where (picked.r).op <> 'd')
