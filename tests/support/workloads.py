"""Shell scripts of pods whose memory and threads do something that counters see."""

LOAD = "sysbench memory --threads={threads} --time={seconds} --memory-total-size=1000000T {more}"
TOUCH = LOAD.format(threads=2, seconds=0, more="--memory-block-size=64M --memory-scope=global run")
ALONE = LOAD.format(threads=1, seconds=0, more="--memory-block-size=32M --memory-scope=global run")


def hops(load: str) -> str:
    """Send a program from socket to socket, whereupon NUMA balancing has its pages follow."""
    return f"""
{load} >/dev/null &
load=$!
trap 'kill $load; exit 0' TERM
while kill -0 $load; do
  for cpus in $(cat /sys/devices/system/node/node*/cpulist); do
    taskset -a -p -c $cpus $load >/dev/null; sleep 2 & wait $!
  done
done
"""


HOPS = hops(TOUCH)
