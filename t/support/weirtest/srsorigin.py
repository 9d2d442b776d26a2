"""A real SRS as origin, where SRS_BIN names a binary (it is not part of this project): benchmarks and
the soak use it beside nginx-rtmp.

    if srs_binary(): origin = SrsOrigin(lab)      # .rtmp_port .http_port .api_port .srt_port .rtc_port
"""

import os

from .process import free_port


def srs_binary():
    return os.environ.get("SRS_BIN", "")


class SrsOrigin:
    """Each has an rtc port of its own; nothing of it calls out."""

    def __init__(self, lab, name="srs", ip="127.0.0.1"):
        self.name, self.ip = name, ip
        self.rtmp_port, self.http_port, self.api_port = free_port(), free_port(), free_port()
        self.rtc_port, self.srt_port = free_port(udp=True), free_port(udp=True)
        self.dir = lab.path(f"srs-{name}-{self.rtmp_port}")
        (self.dir / "html").mkdir(parents=True)
        conf = self.dir / "srs.conf"
        conf.write_text(f"""
listen {ip}:{self.rtmp_port}; max_connections 4000; daemon off; pid {self.dir}/srs.pid; work_dir {self.dir};
srs_log_tank console; srs_log_level_v2 warn; query_latest_version off; grace_start_wait 0;
circuit_breaker {{ enabled off; }} stats {{ enabled off; network 0; }} heartbeat {{ enabled off; }}
http_server {{ enabled on; listen {ip}:{self.http_port}; dir {self.dir}/html; }}
http_api {{ enabled on; listen {ip}:{self.api_port}; }}
rtc_server {{ enabled on; listen {self.rtc_port}; protocol udp; candidate {ip}; use_auto_detect_network_ip off; }}
srt_server {{ enabled on; listen {self.srt_port}; connect_timeout 4000; default_app live; }}
vhost __defaultVhost__ {{
    http_remux {{ enabled on; mount [vhost]/[app]/[stream].flv; }}
    hls {{ enabled on; hls_path {self.dir}/html; hls_fragment 2; hls_window 12; }}
    rtc {{ enabled on; rtmp_to_rtc on; rtc_to_rtmp on; }}
    srt {{ enabled on; srt_to_rtmp on; }}
}}
""")
        self.process = lab.start([srs_binary(), "-c", conf], f"srs-{name}")
        self.process.wait_port(self.api_port, 20)

    def endpoints(self):
        """Its block in Weir's configuration."""
        return {"ip": self.ip, "rtmp": self.rtmp_port, "http": self.http_port, "api": self.api_port,
                "rtc": self.rtc_port, "srt": self.srt_port}
