"""Lab: what a test starts, by name. The classes are in their own files."""

from . import media as media_tools
from .fakeorigin import FakeOrigin
from .origin import NotifyServer, Origin
from .process import ProcessLab
from .weir import Weir


class Lab(ProcessLab):
    """Owns what a test starts. Use as a context manager, or take the fixture `lab`."""

    def origin(self, **options):
        return Origin(self, **options)

    def weir(self, **options):
        return Weir(self, **options)

    def fake_origin(self, *behaviour, **options):
        return FakeOrigin(self, *behaviour, **options)

    def notify(self, **options):
        return NotifyServer(self, **options)

    def media(self, **options):
        return media_tools.make_flv(**options)

    def publish(self, path, url, **options):
        return media_tools.publish(self, path, url, **options)

    def play(self, url, **options):
        return media_tools.play(self, url, **options)

    def rtmpdump(self, url, **options):
        return media_tools.rtmpdump(self, url, **options)

    def gst_publish(self, path, url, **options):
        return media_tools.gst_publish(self, path, url, **options)

    def gst_play(self, url, **options):
        return media_tools.gst_play(self, url, **options)
