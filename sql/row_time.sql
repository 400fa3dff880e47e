-- Part of contents.sql: when a candidate was written, in microseconds since 1970; null where the column is, and where it is a
-- day or more off: such a row was loaded, not written. (Infinity and far times have no such number.)
(select (extract(epoch from written.at) * 1000000)::bigint
   from (select (picked.r).{column}::timestamptz as at) written
  where written.at between statement_timestamp() - interval '1 day' and statement_timestamp() + interval '1 day')
