-- What pg_dump holds for as long as it runs.
begin isolation level repeatable read;
select count(*) from pg_class;
