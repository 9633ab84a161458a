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


def maps(path: str, then: str = "/tmp/mapped") -> str:
    """Map a file read-only, touch every page of it, make a file that says so, and stay.

    By perl, which every Debian has and which can make any system call: mmap is 9 on x86-64.
    """
    return f"""
exec perl -e '
open F, "<", "{path}" or die $!;
my $size = -s F;
my $at = syscall(9, 0, $size, 1, 1, fileno(F), 0);
die $! if $at == -1;
for (my $i = 0; $i < $size; $i += 4096) {{ unpack("P1", pack("Q", $at + $i)) }}
open O, ">", "{then}" or die $!;
close O;
sleep 1000 while 1;
'
"""
