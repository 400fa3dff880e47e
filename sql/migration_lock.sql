-- One migration at a time in a database: held until the transaction ends. The number spells "rowcast" in ASCII.
set local lock_timeout = '60s';
select pg_catalog.pg_advisory_xact_lock(32210705904137076);
