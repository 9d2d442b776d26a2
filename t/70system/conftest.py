"""Fixtures of the tests in a booted root."""

import pytest
from weirtest.root import Root
from weirtest.service import installed


@pytest.fixture
def root(lab):
    """A booted root with Weir installed in it. The test's network is the root's."""
    made = Root(lab, layers=[installed()])
    made.boot()
    with made.inside():
        yield made
