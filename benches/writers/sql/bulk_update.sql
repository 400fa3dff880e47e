update messages set body = repeat('y', 100)
