-- Part of newest.sql. A room that is too long for a journal is too long for a listing.
and not exists (select from unseen where unseen.id = rowcast_row.{id})
and pg_catalog.octet_length(({room})::text) <= 1024
