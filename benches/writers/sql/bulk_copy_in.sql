copy messages (room, body) from '{file}' with (format csv)
