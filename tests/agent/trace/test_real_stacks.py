"""Call paths of real programs: shares of functions whose faults are known, names where they run."""

import shutil
import subprocess

import pytest
from support.bpf import no_bcc
from support.tenants import Program, asked, of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(no_bcc() is not None, reason=no_bcc() or ""),
    pytest.mark.timeout(300),
]


FAULTS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#define N __attribute__((noinline))
static char *fresh(void) {
    char *p = mmap(0, 4096 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, 4096 * 4096, MADV_NOHUGEPAGE);
    return p;
}
N void touches_three_quarters(char *p) { for (int i = 0; i < 3072; i++) p[i * 4096L] = 1; }
N void touches_a_quarter(char *p) { for (int i = 3072; i < 4096; i++) p[i * 4096L] = 1; }
int main(void) {
    char line[16];
    struct rusage before, after;
    puts("ready"); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    getrusage(RUSAGE_SELF, &before);
    for (int round = 0; round < 5; round++) {
        char *p = fresh();
        touches_three_quarters(p); touches_a_quarter(p);
        munmap(p, 4096 * 4096);
    }
    getrusage(RUSAGE_SELF, &after);
    printf("%ld\n", after.ru_minflt - before.ru_minflt); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    return 0;
}
"""


CONTAINED = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define N __attribute__((noinline))
typedef void (*toucher)(char *);
N void touches_as_compiled(char *p) { for (int i = 0; i < 1000; i++) p[i * 4096L] = 1; }
static char *fresh(void) {
    char *p = mmap(0, 4096 * 1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, 4096 * 1000, MADV_NOHUGEPAGE);
    return p;
}
int main(void) {
    char line[64];
    int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    char *code = mmap(0, 4096, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, (void *)touches_as_compiled, 256);
    snprintf(line, sizeof line, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(line, "w");
    fprintf(map, "%lx 100 Ltalk/Cache;::touches\n", (long)code);
    fclose(map);
    puts("ready"); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    touches_as_compiled(fresh());
    ((toucher)code)(fresh());
    puts("1"); fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_page_faults_of_known_functions_have_their_shares(tenants, tmp_path):
    source, program = tmp_path / "faults.c", tmp_path / "faulty-program"
    source.write_text(FAULTS)
    subprocess.run(
        ["gcc", "-O1", "-fno-omit-frame-pointer", "-o", program, source], check=True, timeout=120
    )
    ours, theirs = (Program(one, [str(program)]) for one in tenants)
    told = []
    result = asked("page-faults", lambda: (theirs.work(), told.append(ours.work())), of(tenants[0]))
    ours.end()
    theirs.end()
    weight = sum(s.weight for s in result.stacks)
    assert weight == pytest.approx(told[0], rel=0.01)

    def share(name: str) -> float:
        return sum(s.weight for s in result.stacks if name in s.frames) / weight

    assert share("touches_three_quarters") == pytest.approx(0.75, abs=0.02)
    assert share("touches_a_quarter") == pytest.approx(0.25, abs=0.02)
    assert {s.frames[0] for s in result.stacks} == {"faulty-program"}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_names_come_from_the_containers_own_files(tenants, tmp_path):
    """Below a root of its own, with code made at run time, as a Java container has."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "c.c").write_text(CONTAINED)
    build = [
        "gcc",
        "-O1",
        "-fcf-protection=none",
        "-static",
        "-o",
        tmp_path / "app",
        tmp_path / "c.c",
    ]
    if subprocess.run(build, check=False, timeout=120, capture_output=True).returncode:
        pytest.skip("no static C library")
    program = Program(tenants[0], ["chroot", str(tmp_path), "/app"])
    result = asked("page-faults", program.work, of(tenants[0]))
    program.end()
    weights = {
        name: sum(s.weight for s in result.stacks if s.frames[-1] == name)
        for name in ("touches_as_compiled", "Ltalk/Cache;::touches")
    }
    assert weights == {
        "touches_as_compiled": pytest.approx(1000, abs=5),
        "Ltalk/Cache;::touches": pytest.approx(1000, abs=5),
    }
