# Ends a throw-away PostgreSQL and removes its directory once its owner is gone, however it went: at its own wish, by a
# panic, by kill -9 in the middle of start-up.
#
# $1     the private directory
# stdin  a pipe whose other end only the owner holds: its end is the owner's end. A line says the process id of an initdb
#        that has begun, or nothing when it is over.
#
# This shell leads the process group that the owner puts every process of the server in, so that a Ctrl-C in the
# terminal reaches none of them, and one signal all of them.
trap '' HUP INT QUIT TERM

initdb=
while read -r line; do initdb=$line; done

# An initdb may end by itself, within a second: killed, its servers would leave shared memory behind.
tries=0
while [ -n "$initdb" ] && [ "$tries" -lt 500 ] && kill -0 "$initdb" 2>/dev/null; do
    tries=$((tries + 1))
    sleep 0.02
done

# To the postmaster, SIGQUIT is an immediate shutdown.
kill -QUIT 0

# A postmaster removes its pid file as the last thing it does, after its backends. Asking whether the process exists
# would not do: unreaped, it exists for ever. Ten seconds: it kills what has not ended after five.
tries=0
while [ "$tries" -lt 500 ] && pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    sleep 0.02
done

# Again, where a process that is just ending still wrote into it.
tries=0
rm -rf "$1"
while [ -e "$1" ] && [ "$tries" -lt 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
    rm -rf "$1"
done

kill -KILL 0
