select rowcast.attach('messages', room => 'room', changes => '{insert,update,delete}', per_statement => true)
