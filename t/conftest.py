"""Fixtures of the process tests; the harness itself is t/support/weirtest."""

import pathlib
import resource
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))

import weirtest  # noqa: E402
from weirtest import media as media_module  # noqa: E402
from weirtest import service as service_module  # noqa: E402

collect_ignore = ["60fault/test_memcheck.py"] if weirtest.sanitized() else []


def _raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for want in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, want), max(hard, want)))
            return
        except (ValueError, OSError):
            continue


def pytest_configure(config):
    del config
    _raise_descriptor_limit()


def pytest_sessionfinish(session, exitstatus):
    del session, exitstatus
    media_module.clear_cache()
    service_module.clear_installed()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.call_failed = outcome.get_result().failed


@pytest.fixture
def lab(request):
    with weirtest.Lab() as made:
        yield made
        made.failed = getattr(request.node, "call_failed", True)


@pytest.fixture(scope="session")
def media():
    """Six seconds of H.264 (a key frame a second, no B-frames) and AAC."""
    return media_module.make_flv(seconds=6)
