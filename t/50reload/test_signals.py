"""Signals, command line, pid file, service manager, privileges: the master as operators see it."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest
from weirtest import poll
from weirtest.load import (LoadOrigin, established, listens, play_load, play_once, process_gone,
                           status_field, works)

ONE = {"rtmp": {"relay_delay": "10ms"}}


def order(weir, *args, binary=None):
    """Runs weir with this configuration and arguments; (status, stdout, stderr)."""
    done = subprocess.run([binary or weir.binary, "-c", weir.conf, *args], capture_output=True,
                          text=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return False
    except ConnectionResetError:  # met the socket while it closed
        return False
    except ConnectionRefusedError:
        return True


def poll_gone(pids, timeout=5):
    poll("all processes are gone", lambda: all(process_gone(p) for p in pids), timeout)


@pytest.fixture
def origin(lab):
    return LoadOrigin(lab)


# ---- stopping

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_quick_stop(lab, origin, number):
    weir = lab.weir(origins=[origin], workers=2, config=ONE)
    play_load(lab, weir, 30).wait_ready()
    workers = weir.children()
    assert len(workers) == 3
    began = time.monotonic()
    weir.signal(number)
    assert weir.process.wait(10) == 0
    assert time.monotonic() - began < 2
    poll_gone(workers, timeout=1)
    assert refused(weir.rtmp_port)


def test_quit_lets_sessions_finish(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config={**ONE, "grace_quit_timeout": "60s"})
    players = play_load(lab, weir, 30).wait_ready()
    workers = weir.children()
    weir.signal(signal.SIGQUIT)
    poll("new connections are refused", lambda: refused(weir.rtmp_port), 3)
    assert weir.process.alive
    poll("the sessions go on",
         lambda: sum(established(pid, weir.rtmp_port) for pid in workers) == 30)
    players.finish()
    assert weir.process.wait(5) == 0  # long before the grace is over
    poll_gone(workers)


def test_quit_ends_sessions_when_the_grace_is_over(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config={**ONE, "grace_quit_timeout": "3s"})
    players = play_load(lab, weir, 30).wait_ready()
    began = time.monotonic()
    weir.signal(signal.SIGQUIT)
    poll("new connections are refused", lambda: refused(weir.rtmp_port), 2)
    assert weir.process.wait(10) == 0
    assert 2.5 < time.monotonic() - began < 6
    players.finish(failed=30, all_frames=False)


def test_a_worker_that_hangs_is_killed_at_force_quit_timeout(lab, origin):
    weir = lab.weir(origins=[origin], config={**ONE, "force_quit_timeout": "1s"})
    victim = weir.pids("rtmp")[0]
    os.kill(victim, signal.SIGSTOP)
    began = time.monotonic()
    weir.signal(signal.SIGTERM)
    assert weir.process.wait(10) == 0
    assert 0.9 < time.monotonic() - began < 4
    assert process_gone(victim)


# ---- log

def test_reopened_log_gets_the_lines_of_all_processes(lab, origin):
    log = lab.path("weir.log")
    weir = lab.weir(origins=[origin],
                    config={**ONE, "log": {"target": "file", "file": str(log), "level": "info"}})
    play_once(weir.rtmp_port, "before").close()
    poll("worker's line", lambda: "stream=live/before" in log.read_text()
         or "live/before" in log.read_text())
    moved = lab.path("weir.log.1")
    log.rename(moved)
    weir.signal(signal.SIGUSR1)
    poll("new log file", lambda: log.exists() and "log reopened" in log.read_text())
    size = moved.stat().st_size
    play_once(weir.rtmp_port, "after").close()

    def complete():
        text = log.read_text()
        return re.search(r"rtmp\.0\[\d+\].*player connected.*live/after", text)
    poll("lines of the worker in the new file", complete)
    assert re.search(r"master\[\d+\]", log.read_text())
    assert "live/after" not in moved.read_text()
    assert moved.stat().st_size - size < 500  # at most words that were on their way


# ---- command line

def test_check_of_configurations(lab, origin):
    weir = lab.weir(origins=[origin], start=False)
    assert order(weir, "-t")[0] == 0
    status, out, _ = order(weir, "-T")
    assert status == 0 and str(weir.rtmp_port) in out
    again = lab.path("again.conf")
    again.write_text(out)
    assert subprocess.run([weir.binary, "-t", "-c", again], capture_output=True,
                          check=False).returncode == 0
    weir.rewrite(text="rtmp {\n  listen 1935;\n  relay_delay 5h;\n  colour blue;\n}\n")
    for args in (["-t"], ["-T"], []):
        status, _, err = order(weir, *args)
        assert status == 2
        assert f"{weir.conf}:3:3:" in err or f"{weir.conf}:3:15:" in err
        assert f"{weir.conf}:4:3:" in err and "colour" in err


def test_exit_codes_of_the_command_line(lab, origin):
    weir = lab.weir(origins=[origin], start=False,
                    config={"pid_file": str(lab.path("weir.pid"))})
    assert order(weir, "-x")[0] == 2
    assert order(weir, "-s", "dance")[0] == 2
    assert order(weir, "-s")[0] == 2
    assert order(weir, "-v")[0] == 0
    assert order(weir, "-h")[0] == 0
    status, _, err = order(weir, "-s", "reload")  # nobody runs
    assert status == 1 and "weir.pid" in err


def test_orders_by_pid_file(lab, origin):
    pid_file = lab.path("weir.pid")
    log = lab.path("weir.log")
    weir = lab.weir(origins=[origin], config={
        **ONE, "pid_file": str(pid_file), "log": {"target": "file", "file": str(log)}})
    assert int(pid_file.read_text()) == weir.pid
    player = play_once(weir.rtmp_port, "dumped")
    poll("session in the dump", lambda: "live/dumped" in order(weir, "-s", "dump")[1])
    dump = order(weir, "-s", "dump")[1]
    assert f"127.0.0.1:{origin.rtmp_port}" in dump and str(weir.pids("rtmp")[0]) in dump
    player.close()
    before = weir.generation()
    assert order(weir, "-s", "reload")[0] == 0
    poll("reload", lambda: weir.generation() == before + 1)
    log.rename(lab.path("weir.log.1"))
    assert order(weir, "-s", "reopen")[0] == 0
    poll("new log file", log.exists)
    assert order(weir, "-s", "quit")[0] == 0
    assert weir.process.wait(10) == 0
    assert not pid_file.exists()
    weir.start()
    assert order(weir, "-s", "stop")[0] == 0
    assert weir.process.wait(5) == 0
    assert not pid_file.exists()


def test_a_second_weir_does_not_start(lab, origin):
    pid_file = lab.path("weir.pid")
    first = lab.weir(origins=[origin], config={"pid_file": str(pid_file)})
    status, _, err = order(first)  # the same pid file
    assert status == 1 and str(pid_file) in err and str(first.pid) in err
    for taken in ("rtmp", "api"):
        second = lab.weir(origins=[origin], start=False, name=f"second-{taken}",
                          **{f"{taken}_port": getattr(first, f"{taken}_port")})
        status, _, err = order(second)
        assert status == 1
        assert f"127.0.0.1:{getattr(first, f'{taken}_port')}" in err
    assert int(pid_file.read_text()) == first.pid
    assert works(first.rtmp_port)


def test_a_user_that_does_not_exist(lab, origin):
    weir = lab.weir(origins=[origin], start=False, config={"user": "nosuchuser"})
    status, _, err = order(weir)
    assert status == 1 and "nosuchuser" in err


def test_daemon(lab, origin):
    pid_file = lab.path("weir.pid")
    weir = lab.weir(origins=[origin], start=False, config={
        "daemon": True, "pid_file": str(pid_file),
        "log": {"target": "file", "file": str(lab.path("weir.log"))}})
    started = lab.start([weir.binary, "-c", weir.conf], "daemon")
    assert started.wait(10) == 0
    pid = int(pid_file.read_text())
    lab.at_close(lambda: process_gone(pid) or os.kill(pid, signal.SIGKILL))
    assert works(weir.rtmp_port)  # ready when the parent has left
    assert os.getsid(pid) == pid or os.getsid(pid) != os.getsid(0)
    assert order(weir, "-s", "stop")[0] == 0
    poll_gone([pid])
    assert subprocess.run([weir.binary, "-c", weir.conf], capture_output=True, timeout=10,
                          env={**os.environ, "PROXY_SYSTEM_API": f"127.0.0.1:{origin.rtmp_port}"},
                          check=False).returncode == 1  # a child that fails is seen


# ---- upgrade in place

def test_upgrade_keeps_sessions_and_port(lab, origin):
    pid_file = lab.path("weir.pid")
    weir = lab.weir(origins=[origin], workers=2, config={**ONE, "pid_file": str(pid_file)})
    workers = weir.pids("rtmp")
    players = play_load(lab, weir, 40, streams=4).wait_ready()
    new = weir.upgrade(pid_file)
    poll("the old workers accept no more", lambda: weir.log().count("generation drains") == 1)
    assert works(weir.rtmp_port)
    assert weir.process.alive
    poll("the sessions are where they were",
         lambda: sum(established(pid, weir.rtmp_port) for pid in workers) == 40)
    players.finish()
    assert weir.process.wait(10) == 0
    assert works(weir.rtmp_port)
    assert int(pid_file.read_text()) == new
    assert order(weir, "-s", "stop")[0] == 0
    poll_gone([new])


def test_upgrade_keeps_routes(lab):
    """Origins that registered, and streams whose publishers stay with the old program."""
    pid_file = lab.path("weir.pid")
    origins = [LoadOrigin(lab) for _ in range(3)]
    weir = lab.weir(start=False, config={**ONE, "pid_file": str(pid_file),
                                         "balance": {"policy": "random"}})
    weir.start(ready=False)  # not ready before somebody has registered
    weir.process.wait_port(weir.api_port)
    for number, each in enumerate(origins):
        assert weir.register(each, f"server-{number}")[0] == 200
    weir.wait_ready()
    players = play_load(lab, weir, 24, streams=12).wait_ready()
    before = {row["stream"]: row["origin_name"] for row in weir.streams()}
    assert len(before) == 12
    new = weir.upgrade(pid_file)
    weir.wait_log("routes of the old program are known")
    poll("the old workers accept no more", lambda: weir.log().count("generation drains") == 1)
    more = play_load(lab, weir, 12, streams=12).wait_ready()
    after = {row["stream"]: row["origin_name"] for row in weir.streams()}
    assert after == before
    more.finish()
    players.finish()
    assert weir.process.wait(10) == 0
    assert order(weir, "-s", "stop")[0] == 0
    poll_gone([new])


def test_upgrade_that_fails_changes_nothing(lab, origin):
    pid_file = lab.path("weir.pid")
    weir = lab.weir(origins=[origin], config={**ONE, "pid_file": str(pid_file)})
    weir.rewrite(text="rtmp { listen nowhere; }\n")
    weir.signal(signal.SIGUSR2)
    weir.wait_log("upgrade failed")
    assert int(pid_file.read_text()) == weir.pid
    assert works(weir.rtmp_port)


# ---- service manager

def test_notify_socket(lab, origin):
    path = str(lab.path("notify.sock"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(10)
        got = []

        def wait(*words):
            while not all(any(line.startswith(word) for line in got) for word in words):
                got.extend(manager.recv(4096).decode().splitlines())
            del got[:]
        weir = lab.weir(origins=[origin], env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"},
                        start=False)
        weir.start(ready=False)
        wait("READY=1", f"MAINPID={weir.pid}", "STATUS=")
        weir.wait_ready()
        wait("WATCHDOG=1")
        weir.signal(signal.SIGHUP)
        wait("RELOADING=1", "MONOTONIC_USEC=", "READY=1")
        weir.rewrite(text="nonsense on;\n")
        weir.signal(signal.SIGHUP)
        wait("RELOADING=1", "READY=1")  # refused, and serving as before
        weir.signal(signal.SIGTERM)
        wait("STOPPING=1")
        assert weir.process.wait(5) == 0


# ---- privileges

def test_workers_have_dropped_root(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, config={"user": "nobody"})
    nobody = subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True,
                            check=True).stdout.strip()
    assert len(weir.children()) == 3
    for pid in weir.children():
        assert status_field(pid, "Uid").split() == [nobody] * 4
        assert "0" not in status_field(pid, "Gid").split()
        assert status_field(pid, "Groups").split() in ([], status_field(pid, "Gid").split()[:1])
        assert status_field(pid, "NoNewPrivs") == "1"
        assert status_field(pid, "Seccomp") == "2"  # a filter
        assert int(status_field(pid, "CapEff"), 16) == 0
        assert int(status_field(pid, "CapPrm"), 16) == 0
    assert works(weir.rtmp_port)


def test_workers_hold_only_their_descriptors(lab, origin):
    weir = lab.weir(origins=[origin], workers=2)
    assert [listens(pid) for pid in weir.pids("rtmp")] == [1, 1]
    assert [listens(pid) for pid in weir.pids("control")] == [1]


def test_start_without_root(lab, origin):
    weir = lab.weir(origins=[origin], workers=2, start=False)
    weir.process = lab.start(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                              weir.binary, "-c", weir.conf], "weir-unprivileged")
    weir.wait_ready()
    assert works(weir.rtmp_port)
    for pid in weir.all_pids():
        assert status_field(pid, "Uid").split() == ["65534"] * 4
    before = weir.generation()
    weir.signal(signal.SIGHUP)
    poll("reload", lambda: weir.generation() == before + 1)
    assert works(weir.rtmp_port)
    assert weir.stop() == 0


