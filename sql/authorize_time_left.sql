-- Between two rooms: the next one has what is left of the two seconds for all of them, in milliseconds.
select pg_catalog.set_config('statement_timeout', greatest(1, pg_catalog.ceil(2000 - 1000 *
    extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp())))::int::text, true)
