-- The server measures functions for the relay alone: rowcast.prune among them.
alter role relay set track_functions = 'pl'
