-- The rows of one statement, in this order.
insert into messages (room, body) select * from unnest($1::text[], $2::text[])
