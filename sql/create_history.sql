-- The history table as refinery makes it.
create table if not exists rowcast.migrations (
    version    int4 primary key,
    name       varchar(255),
    applied_on varchar(255),
    checksum   varchar(255)
);
