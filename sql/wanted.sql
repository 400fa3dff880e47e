-- Part of read.sql: the contents of a row whose room is wanted. Names are compared as the bytes that clients send, since a
-- database of another encoding refuses a text that it can't hold, and with it the read.
--   $7 the rooms in UTF-8; null: all
case when $7::bytea[] is null or pg_catalog.convert_to(picked.room, 'UTF8') = any ($7) then {payload} end
