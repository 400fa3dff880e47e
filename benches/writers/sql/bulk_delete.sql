delete from messages
