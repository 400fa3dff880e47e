-- The relay's own role, no superuser, as README's section Roles has it; whoever runs this migrates and attaches.
create role relay login password '{password}';
grant usage on schema rowcast to relay;
grant select, insert, update, delete on all tables in schema rowcast to relay;
grant select, update on all sequences in schema rowcast to relay;
alter default privileges in schema rowcast grant select, insert, update, delete on tables to relay;
alter default privileges in schema rowcast grant select, update on sequences to relay;
