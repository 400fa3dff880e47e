-- Detaches a source.
select rowcast.detach($1::text)
