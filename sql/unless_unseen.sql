-- Part of newest.sql.
and not exists (select from unseen where unseen.id = rowcast_row.{id})
