-- Attaches a table; the report is {"source","state","changes","warnings"}.
select rowcast.attach_report(rowcast.table_named($1::text), $2::text, $3::text, $4::text[], $5::text, $6::boolean) as report
