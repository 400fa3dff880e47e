-- One message of the demo's writer: room, author, body. Returns its id.
insert into messages (room_id, author, body) values ($1, $2, $3) returning id
