-- Inserts one row whose columns are the keys of the JSON object $1 (text) and returns its id.
-- Only the named columns are listed, so that the others take their defaults. {…} are quoted identifiers.
insert into {relation} ({columns})
select {columns} from jsonb_populate_record(null::{relation}, $1::jsonb)
returning {id}::bigint
