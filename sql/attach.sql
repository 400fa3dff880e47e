-- Attaches a table; the report is {"source","state","changes","warnings"}. What is null is rowcast.attach's default.
select rowcast.attach_timed(tbl, rowcast.room_named(tbl, $2::text), $3::text, $4::text[], $5::text, $6::boolean, $7::text[],
                             $8::boolean, $9::text, $10::boolean, $11::boolean, $12::text) as report
from rowcast.table_named($1::text) tbl
