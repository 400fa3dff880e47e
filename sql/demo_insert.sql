-- One message of the demo's writer: room, author, body.
insert into messages (room_id, author, body) values ($1, $2, $3)
