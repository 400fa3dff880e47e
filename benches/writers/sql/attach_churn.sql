select rowcast.attach('messages', room => 'room', changes => '{insert,update,delete}', keep => $1)
