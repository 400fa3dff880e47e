-- Between two rooms: the next one has what is left of the two seconds for all of them, in milliseconds. Where nothing is,
-- PostgreSQL refuses the setting, and with it the rest of the transaction (0 would be no limit at all).
with time_left as (select pg_catalog.ceil(2000 - 1000 *
    extract(epoch from pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp())) as milliseconds)
select pg_catalog.set_config('statement_timeout',
    (case when milliseconds > 0 then milliseconds else -1 end)::int::text, true)
from time_left
