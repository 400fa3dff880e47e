insert into messages (room, body) select (g % 100)::text, repeat('x', 100) from generate_series(1, $1::int) g
