copy (select room, body from messages) to '{file}' with (format csv)
