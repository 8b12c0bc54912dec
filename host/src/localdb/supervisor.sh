# Runs a program that must not outlive the process which started it, even if that is killed with -9.
# Arguments: the log, then the program and its arguments. Standard input is a pipe that the parent holds open and
# never writes to: the kernel closes it when the parent ends, however it ends.

# A signal for all (a service manager's stop) must not take away those who stop the program in good order.
trap '' HUP INT TERM

log=$1
shift
mv -f "$log" "$log.previous" 2>/dev/null
exec 3<&0 </dev/null >"$log" 2>&1

"$@" 3<&- &
program=$!

# Asks again each second, since a program that has only begun may not listen yet, and insists after a minute:
# QUIT makes PostgreSQL stop at once and recover at its next start.
(
    read -r _ <&3
    seconds=0
    signal=INT
    while kill -"$signal" "$program" 2>/dev/null; do
        sleep 1
        seconds=$((seconds + 1))
        if [ "$seconds" -ge 60 ]; then signal=QUIT; fi
    done
) &
watcher=$!
exec 3<&-

wait "$program"
status=$?
kill -KILL "$watcher" 2>/dev/null
exit "$status"
