-- $1 rows before a workload that changes them, in 100 rooms.
insert into messages (room, body) select (g % 100)::text, repeat('x', 100) from generate_series(1, $1::int) g
