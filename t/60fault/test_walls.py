"""What a worker that was taken over could reach, as the kernel sees it."""

import os
import pathlib

import pytest
from weirtest import poll
from weirtest.load import LoadOrigin, status_field, works


@pytest.fixture
def origin(lab):
    return LoadOrigin(lab)


def counter_pages(pid):
    """(writable, readable) mappings of counter pages, by inode."""
    writable, readable = set(), set()
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "memfd:weir-counters" in line:
            fields = line.split()
            size = [int(end, 16) for end in fields[0].split("-")]
            assert size[1] - size[0] == 4096, line
            (writable if "w" in fields[1] else readable).add(fields[4])
    return writable, readable


def test_a_worker_can_write_its_own_counter_page_and_no_other(lab, origin):
    weir = lab.weir(origins=[origin], workers=3)
    owners = {}
    for pid in weir.children():
        writable, readable = counter_pages(pid)
        assert len(writable) == 1, "one page of its own"
        assert writable <= readable and len(readable) > 4, "and all to read"
        owners[pid] = writable.pop()
        names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert not [name for name in names if "counters" in name], "no way to map another"
        assert status_field(pid, "Seccomp") == "2"
    assert len(set(owners.values())) == len(owners)
    # Respawns and reloads keep it so, and leave nothing behind in the master.
    descriptors = len(os.listdir(f"/proc/{weir.pid}/fd"))
    for victim in weir.pids("rtmp"):
        os.kill(victim, 9)
    poll("respawned", lambda: len(weir.pids("rtmp")) == 3 and not set(weir.pids("rtmp")) & set(owners))
    for _ in range(3):
        weir.reload()
        poll("the old ones left", lambda: len(weir.children()) == 4)
    pages = [counter_pages(pid)[0] for pid in weir.children()]
    assert all(len(page) == 1 for page in pages) and len(set.union(*pages)) == 4
    assert len(os.listdir(f"/proc/{weir.pid}/fd")) == descriptors
    assert works(weir.rtmp_port)
    assert weir.metric("weir_worker_deaths_total") == 3
