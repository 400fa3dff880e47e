-- Opens the transaction in which rooms are authorised: it can't write, whatever the role's defaults are, and it is short.
begin isolation level read committed, read only, not deferrable;
set local statement_timeout = 2000
