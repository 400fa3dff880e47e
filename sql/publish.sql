-- Inserts one row whose columns are the keys of the JSON object $1 (text) and returns its id or its key.
-- Only the named columns are listed, so that the others take their defaults. {…} are quoted identifiers.
insert into {relation} ({columns})
select {columns} from pg_catalog.jsonb_populate_record(null::{relation}, $1::pg_catalog.jsonb)
returning {id} as id, {key} as key
