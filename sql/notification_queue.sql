-- How full PostgreSQL's queue of notifications is, of all its databases: 0 to 1. When it is full, commits that notify fail.
select pg_catalog.pg_notification_queue_usage() as usage
