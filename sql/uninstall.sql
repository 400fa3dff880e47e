-- Detaches every table and drops schema rowcast.
select rowcast.uninstall()
