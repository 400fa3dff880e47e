select rowcast.attach('messages', room => 'room')
