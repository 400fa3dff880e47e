-- Another text ($2) for the message $1.
update messages set body = $2, edited_at = clock_timestamp() where id = $1
