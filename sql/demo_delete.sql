-- Removes the message $1.
delete from messages where id = $1
