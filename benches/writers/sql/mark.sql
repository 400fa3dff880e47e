-- A row that the subscriber recognises, in its room: when it has arrived, the relay has caught up.
insert into messages (room, body) values ('1', $1)
