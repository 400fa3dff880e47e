-- The migrations that were applied, as refinery noted them.
select version from rowcast.migrations order by version
