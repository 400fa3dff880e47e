-- The relay's own role, for which alone the server measures functions: rowcast.prune among them.
create role relay superuser login password '{password}';
alter role relay set track_functions = 'pl';
