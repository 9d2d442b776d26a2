#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "common/base/limits.h"
#include "common/config/config.h"
#include "common/config/options.h"

using namespace weir;

namespace {

LoadOutcome load(std::string_view text, const Environment& environment = {}) {
  return load_config_text("a.conf", text, environment);
}

std::vector<std::string> faults_of(const LoadOutcome& outcome) {
  std::vector<std::string> texts;
  for (const Fault& fault : outcome.faults) texts.push_back(to_string(fault));
  return texts;
}

std::string only_fault(std::string_view text, const Environment& environment = {}) {
  const auto texts = faults_of(load(text, environment));
  if (texts.size() == 1) return texts[0];
  std::string all = std::to_string(texts.size()) + " faults";
  for (const auto& one : texts) all += "; " + one;
  return all;
}

class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "weir-config-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string write(const std::string& name, std::string_view text) const {
    const std::filesystem::path path = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("values of every type arrive in their members") {
  const LoadOutcome outcome = load(
      "worker_processes 3; daemon on;\n"
      "rtmp { listen 127.0.0.1:1935; relay_delay 1.5s; }\n"
      "rtmp { max_connections 10; }  # a block may be opened again\n");
  CHECK(only_fault("rtmp { relay_delay 1.5s; }") ==
        "a.conf:1:20: rtmp.relay_delay: 1500ms is above the maximum 1s");
  CHECK(outcome.faults.size() == 1);
  const Config config = load(
                            "rtmp { listen [::1]:1935; relay_delay 5ms; send_client_ip on; }\n"
                            "balance { policy hash; } log { file \"/tmp/a b\"; target file; }")
                            .config;
  CHECK(to_string(config.rtmp.listen) == "[::1]:1935");
  CHECK(config.rtmp.relay_delay == 5);
  CHECK(config.rtmp.send_client_ip);
  CHECK(config.balance.policy == "hash");
  CHECK(config.log.file == "/tmp/a b");
  CHECK(config.balance.origin_ttl == 300'000);
}

TEST_CASE("each semantic fault names file, line, column and option") {
  const std::pair<const char*, const char*> cases[] = {
      {"\n  foo 1;", "a.conf:2:3: unknown option \"foo\""},
      {"foo { a 1; }", "a.conf:1:1: unknown block \"foo\""},
      {"rtmp {\n  foo 1;\n}", "a.conf:2:3: unknown option \"foo\" in rtmp"},
      {"rtmp 1;", "a.conf:1:1: rtmp is a block: rtmp { ... }"},
      {"rtmp x { }", "a.conf:1:6: block rtmp takes no name"},
      {"daemon { }", "a.conf:1:1: daemon: is not a block"},
      {"daemon;", "a.conf:1:1: daemon: takes one value, not 0"},
      {"daemon on off;", "a.conf:1:1: daemon: takes one value, not 2"},
      {"daemon yes;", "a.conf:1:8: daemon: \"yes\" is neither on nor off"},
      {"max_origins 5k;", "a.conf:1:13: max_origins: \"5k\" is not a whole number"},
      {"max_origins 0;", "a.conf:1:13: max_origins: 0 is below the minimum 1"},
      {"rtmp { relay_delay 2s; }", "a.conf:1:20: rtmp.relay_delay: 2s is above the maximum 1s"},
      {"rtmp { idle_timeout 10; }",
       "a.conf:1:21: rtmp.idle_timeout: \"10\" has no unit (ms, s, m, h or d)"},
      {"balance { policy best; }",
       "a.conf:1:18: balance.policy: \"best\" is none of least_streams|round_robin|random|hash"},
      {"rtmp { listen 70000; }",
       "a.conf:1:15: rtmp.listen: port \"70000\" is not a number from 1 to 65535"},
      {"daemon on;\ndaemon on;", "a.conf:2:1: daemon: is given twice, first at a.conf:1"},
      {"rtmp { enabled on; }\nrtmp { enabled on; }",
       "a.conf:2:8: rtmp.enabled: is given twice, first at a.conf:1"},
      {"user \"a\\nb\";", "a.conf:1:6: user: the value has a control character in it"},
      {"worker_processes many;",
       "a.conf:1:18: worker_processes: \"many\" is neither auto nor a number from 1 to 64"},
      {"worker_processes 65;",
       "a.conf:1:18: worker_processes: \"65\" is neither auto nor a number from 1 to 64"},
      {"rtc { candidate 1.2.3; }",
       "a.conf:1:17: rtc.candidate: \"1.2.3\" is neither an address nor a name"},
      {"rtc { tcp_candidate 1.2.3; }",
       "a.conf:1:21: rtc.tcp_candidate: \"1.2.3\" is neither an address nor a name"},
      {"rtc { whip_path whip; }",
       "a.conf:1:17: rtc.whip_path: \"whip\" is no absolute path with an optional query"},
      {"worker_rlimit_core big;",
       "a.conf:1:20: worker_rlimit_core: \"big\" is neither a size nor unlimited"},
      {"log { target file; }", "a.conf:1:14: log.target: file needs log.file"},
      {"balance { eject_time 2m; }",
       "a.conf:1:22: balance.eject_time: balance.eject_time 2m is longer than "
       "balance.eject_time_max 1m"},
      {"balance { eject_time_max 1s; }",
       "a.conf:1:26: balance.eject_time_max: balance.eject_time 5s is longer than "
       "balance.eject_time_max 1s"},
      {"balance { store redis; }",
       "a.conf:1:17: balance.store: redis is not available in this release"},
      {"rtmp { listen 18080; }",
       "a.conf:1:15: rtmp.listen: 0.0.0.0:18080/tcp clashes with http.listen 0.0.0.0:18080"},
      {"rtmp { listen 12025; }",
       "a.conf:1:15: rtmp.listen: 0.0.0.0:12025/tcp clashes with control.listen "
       "127.0.0.1:12025"},
      {"srt { listen 18000; }",
       "a.conf:1:14: srt.listen: 0.0.0.0:18000/udp clashes with rtc.listen 0.0.0.0:18000"},
      {"hooks { on_stop https://host/; }",
       "a.conf:1:17: hooks.on_stop: a URL here begins with http://"},
      {"access_log { target file; }", "a.conf:1:21: access_log.target: file needs access_log.file"},
      {"default_backend { ip 10.0.0.256; }",
       "a.conf:1:22: default_backend.ip: \"10.0.0.256\" is neither an IP address nor a host name"},
      {"resolver { nameservers dns.test; }",
       "a.conf:1:24: resolver.nameservers: \"dns.test\" is not the address of a name server"},
      {"resolver { ttl_min 2m; ttl_max 1m; }",
       "a.conf:1:20: resolver.ttl_min: 2m is longer than resolver.ttl_max 1m"},
      {"default_backend { rtmp x://1.2.3.4:1; }",
       "a.conf:1:24: default_backend.rtmp: unknown protocol \"x\" in endpoint \"x://1.2.3.4:1\""}};
  for (const auto& [written, fault] : cases) {
    const auto& text = written;
    CAPTURE(text);
    CHECK(only_fault(text) == fault);
  }
}

TEST_CASE("what is no clash") {
  CHECK(load("rtmp { listen 18000; }").ok());  // TCP beside rtc's UDP
  CHECK(load("rtmp { listen 127.0.0.2:18080; } http { listen 127.0.0.1:18080; }").ok());
  CHECK(load("rtmp { listen 18080; enabled off; }").ok());
  CHECK(load("control { listen 12025; }").ok());
}

TEST_CASE("all faults are collected") {
  const auto texts = faults_of(load("a 1;\nrtmp { relay_delay x; b 2; }\ndaemon maybe\n"));
  REQUIRE(texts.size() == 5);
  CHECK(texts[0].starts_with("a.conf:3:13: "));  // syntax first
  CHECK(texts[4].starts_with("a.conf:3:8: daemon"));
}

TEST_CASE("every environment variable of the table wins over the file") {
  std::size_t tried = 0;
  for (const auto& row : config::option_rows()) {
    if (row.env.empty()) continue;
    CAPTURE(row.env);
    const bool networks = row.type == config::OptionType::Networks;
    const bool tls = row.name == "tls_listen";  // a fault without a certificate
    const std::string value(networks                    ? "all"
                            : tls                       ? "12345"
                            : row.name == "nameservers" ? "192.0.2.53"
                            : row.unit == "URL"         ? "http://host/"
                            : row.initial.empty() && row.type == config::OptionType::Listen
                                ? "12345"
                            : row.initial.empty() ? "x"
                                                  : row.initial);
    const LoadOutcome outcome = load("", {{std::string(row.env), value}});
    if (row.path() == "default_backend.http" || tls) {
      CHECK(outcome.faults.at(0).where == "environment");
    } else {
      CHECK(faults_of(outcome) == std::vector<std::string>{});
      CHECK(outcome.config.sources.at(row.path()).text == "env " + std::string(row.env));
    }
    ++tried;
  }
  CHECK(tried >= 26);
  const LoadOutcome won = load("rtmp { listen 1; }", {{"PROXY_RTMP_SERVER", "2"}});
  CHECK(won.config.rtmp.listen.port == 2);
  CHECK(load("rtmp { listen 1; }", {{"PROXY_RTMP_SERVER", ""}}).config.rtmp.listen.port == 1);
}

TEST_CASE("the reference's variables with their usual values") {
  const LoadOutcome outcome = load("", {{"PROXY_RTMP_SERVER", "1935"},
                                        {"PROXY_HTTP_SERVER", "8080"},
                                        {"PROXY_HTTP_API", "1985"},
                                        {"PROXY_WEBRTC_SERVER", "8000"},
                                        {"PROXY_SRT_SERVER", "10080"},
                                        {"PROXY_SYSTEM_API", "12025"},
                                        {"PROXY_STATIC_FILES", "../srs/trunk/research"},
                                        {"PROXY_LOAD_BALANCER_TYPE", "memory"},
                                        {"PROXY_ORIGIN_SERVER_TTL", "1m30s"},
                                        {"PROXY_GRACE_QUIT_TIMEOUT", "500ms"},
                                        {"PROXY_DEFAULT_BACKEND_ENABLED", "on"},
                                        {"PROXY_DEFAULT_BACKEND_IP", "127.0.0.2"},
                                        {"PROXY_DEFAULT_BACKEND_RTMP", "19351"},
                                        {"PROXY_REDIS_DB", "1"}});
  CHECK(faults_of(outcome) == std::vector<std::string>{});
  CHECK(to_string(outcome.config.control.listen) == "0.0.0.0:12025");
  CHECK(outcome.config.balance.origin_ttl == 90'000);
  const auto backend = default_backend_origin(outcome.config);
  REQUIRE(backend);
  CHECK(to_string(backend->rtmp.at(0)) == "127.0.0.2:19351");
  CHECK(backend->http.empty());
  CHECK_FALSE(default_backend_origin(Config{}));
}

TEST_CASE("faults of the environment name the variable, never a secret") {
  CHECK(only_fault("", {{"PROXY_RTMP_SERVER", "x"}}) ==
        "environment: PROXY_RTMP_SERVER: rtmp.listen: port \"x\" is not a number from 1 to 65535");
  CHECK(only_fault("", {{"PROXY_LOAD_BALANCER_TYPE", "redis"}}) ==
        "environment: PROXY_LOAD_BALANCER_TYPE: balance.store: redis is not available in this "
        "release");
  CHECK(only_fault("", {{"PROXY_HTTP_API", "18080"}}).find("PROXY_HTTP_API") != std::string::npos);
  const std::string secret(300, 'S');
  CHECK(only_fault("", {{"WEIR_API_TOKEN", secret}}) ==
        "environment: WEIR_API_TOKEN: control.token: 300 bytes is above the maximum of 255");
}

TEST_CASE("unknown WEIR_ variables are warnings, internal ones nothing") {
  const LoadOutcome outcome =
      load("", {{"WEIR_LISTEN", "1"}, {"WEIR_INTERNAL_FD", "3"}, {"WEIRD", "1"}, {"HOME", "/"}});
  CHECK(outcome.ok());
  CHECK(outcome.warnings ==
        std::vector<std::string>{"environment variable \"WEIR_LISTEN\" is not known"});
  const char* const list[] = {"A=1", "B=x=y", "broken", "=z", nullptr};
  CHECK(read_environment(list) == Environment{{"A", "1"}, {"B", "x=y"}});
}

TEST_CASE("includes: relative, nested, globbed, in blocks; faults name the included file") {
  const TempDir dir;
  const std::string main =
      dir.write("weir.conf", "include conf.d/*.conf;\nrtmp { .include \"rtmp.inc\"\n}\n");
  const std::string a = dir.write("conf.d/a.conf", "include ../origins.inc;\nmax_origins 0;\n");
  dir.write("conf.d/b.conf", "include none/*.conf;\n");
  dir.write("origins.inc", "origin o { ip 10.0.0.1; rtmp 1935; }\n");
  dir.write("rtmp.inc", "relay_delay 7ms;");
  const LoadOutcome outcome = load_config(main, {});
  CHECK(faults_of(outcome) ==
        std::vector<std::string>{a + ":2:13: max_origins: 0 is below the minimum 1"});
  CHECK(outcome.config.rtmp.relay_delay == 7);
  CHECK(outcome.config.origins.size() == 1);
  CHECK(outcome.files.size() == 5);
}

TEST_CASE("files that cannot be read") {
  const TempDir dir;
  CHECK(faults_of(load_config(dir.path("none"), {})) ==
        std::vector<std::string>{dir.path("none") + ": cannot open: No such file or directory"});
  CHECK(faults_of(load_config(dir.path(""), {})) ==
        std::vector<std::string>{dir.path("") + ": is not a regular file"});
  const std::string loop = dir.write("loop", "include loop;");
  CHECK(faults_of(load_config(loop, {})) ==
        std::vector<std::string>{loop + ":1:9: " + loop + " includes itself"});
  const std::string gone = dir.write("gone", "\n include absent;");
  CHECK(faults_of(load_config(gone, {})) ==
        std::vector<std::string>{gone + ":2:10: include " + dir.path("absent") +
                                 ": cannot open: No such file or directory"});
  const std::string large = dir.write("large", std::string(2 << 20, '\n'));
  CHECK(load_config(large, {}).faults.size() == 1);
  const std::string fifo = dir.path("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(load_config(fifo, {}).faults.size() == 1);
  CHECK(choose_config_path("x") == "x");
}

TEST_CASE("origins") {
  const LoadOutcome outcome = load(
      "origin a.1 { rtmp 1935 rtmp://:1936; ip 10.0.0.1; http http://10.0.0.9:8080; weight 0; }\n"
      "origin b { ip ::1; srt [::2]:10080; drain on; send_client_ip on; weight 1000;\n"
      "learn nginx_rtmp; }\n");
  CHECK(faults_of(outcome) == std::vector<std::string>{});
  REQUIRE(outcome.config.origins.size() == 2);
  const OriginConfig& a = outcome.config.origins[0];
  CHECK(a.name == "a.1");
  REQUIRE(a.rtmp.size() == 2);
  CHECK(to_string(a.rtmp[1]) == "10.0.0.1:1936");
  CHECK(a.rtmp[1].scheme == Scheme::kRtmp);
  CHECK(to_string(a.http.at(0)) == "10.0.0.9:8080");
  CHECK(a.weight == 0);
  const OriginConfig& b = outcome.config.origins[1];
  CHECK(b.drain);
  CHECK(b.send_client_ip);
  CHECK(a.learn.empty());
  CHECK(b.learn == "nginx_rtmp");
  CHECK(b.weight == 1000);
  CHECK(to_string(b.srt.at(0)) == "[::2]:10080");
}

TEST_CASE("aliases: blocks are one list, and print as it") {
  const LoadOutcome outcome = load(
      "aliases { rule /push/[stream] -> /live/[stream]; preset nginx_rtmp live; }\n"
      "aliases { rule '/a b/[s]' -> /x/[s] /y/[s]; }");
  REQUIRE(outcome.ok());
  const auto& rules = outcome.config.aliases;
  REQUIRE(rules.size() == 20);
  CHECK(rules.front().from == "/push/[stream]");
  CHECK(rules.front().source.text == "a.conf:1");
  CHECK(rules[1].source.text == "preset nginx_rtmp, a.conf:1");
  CHECK(rules.back().to == std::vector<std::string>{"/x/[s]", "/y/[s]"});
  const std::string printed = print_config(outcome.config);
  const LoadOutcome again = load(printed);
  REQUIRE(again.ok());
  CHECK(again.config == outcome.config);
  CHECK(again.config.aliases[1].to == rules[1].to);
  CHECK_FALSE(load("").config == outcome.config);
}

TEST_CASE("faults of aliases") {
  std::string many;
  for (int i = 0; i < 65; ++i) many += "rule /a/[s] -> /b/[s];";
  const std::pair<std::string, const char*> cases[] = {
      {"aliases;", "a.conf:1:1: aliases is a block: aliases { ... }"},
      {"aliases x { }", "a.conf:1:9: block aliases takes no name"},
      {"aliases { foo 1; }", "a.conf:1:11: unknown option \"foo\" in aliases"},
      {"aliases { rule /a/[s]; }",
       "a.conf:1:11: aliases.rule: takes PATTERN -> NAME, up to 8 names"},
      {"aliases { rule a/[s] -> /b/[s]; }",
       "a.conf:1:16: aliases.rule: \"a/[s]\": it does not begin with a slash"},
      {"aliases { rule /a/[s] -> /b/[t]; }",
       "a.conf:1:26: aliases.rule: \"/b/[t]\": [t] is not in the pattern"},
      {"aliases { rule /a/[s] -> /b/[s] /[s]; }",
       "a.conf:1:33: aliases.rule: \"/[s]\": it names an app and a stream: /app/stream"},
      {"aliases { rule /a/[s][t] -> /b/[s]; }",
       "a.conf:1:16: aliases.rule: \"/a/[s][t]\": two captures without text between them"},
      {"aliases { rule /a/[s -> /b/[s]; }",
       "a.conf:1:16: aliases.rule: \"/a/[s\": a bracket is not closed"},
      {"aliases { rule /a/s] -> /b/s; }",
       "a.conf:1:16: aliases.rule: \"/a/s]\": a bracket closes nothing"},
      {"aliases { rule /a//[s] -> /b/[s]; }",
       "a.conf:1:16: aliases.rule: \"/a//[s]\": it has an empty segment or value"},
      {"aliases { rule /[a*]/[b*] -> /b/[a]; }",
       "a.conf:1:16: aliases.rule: \"/[a*]/[b*]\": it has more than one [name*]"},
      {"aliases { rule /a?b=[s -> /a/b; }",
       "a.conf:1:16: aliases.rule: \"/a?b=[s\": a bracket is not closed"},
      {"aliases { rule /a?=[s] -> /a/[s]; }",
       "a.conf:1:16: aliases.rule: \"/a?=[s]\": a parameter is name=value, the name in lower case"},
      {"aliases { rule //h -> /a/b; }",
       "a.conf:1:16: aliases.rule: \"//h\": a host needs a path behind it"},
      {"aliases { preset; }", "a.conf:1:11: aliases.preset: takes the name of one"},
      {"aliases { preset ome; }",
       "a.conf:1:18: aliases.preset: \"ome\" is none of nginx_rtmp, nginx_http_flv, srs"},
      {"aliases { preset nginx_rtmp; }",
       "a.conf:1:18: aliases.preset: nginx_rtmp needs the applications that its URLs do not name"},
      {"aliases { preset srs live; }",
       "a.conf:1:22: aliases.preset: \"live\": srs takes no applications"},
      {"aliases { preset srs hls=/x; }",
       "a.conf:1:22: aliases.preset: \"hls=/x\": is not known here"},
      {"aliases { preset nginx_rtmp live hls=x; }",
       "a.conf:1:34: aliases.preset: \"hls=x\": is no path"},
      {"aliases { preset nginx_rtmp li/ve; }",
       "a.conf:1:29: aliases.preset: \"li/ve\": is no application's name"},
      {"aliases { preset nginx_rtmp live variant=; }",
       "a.conf:1:34: aliases.preset: \"variant=\": is no suffix"},
      {"aliases { " + many + " }",
       "a.conf:1:1419: aliases: more than 64 rules, those of presets among them"},
      {"aliases { rule /" + std::string(300, 'a') + " -> /b/c; }",
       "a.conf:1:16: aliases.rule: "
       "\"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
       "...\": it is longer than 255 bytes"}};
  for (const auto& [written, fault] : cases) {
    const auto& text = written;
    CAPTURE(text);
    CHECK(only_fault(text) == fault);
  }
}

TEST_CASE("faults of origins") {
  const std::string ok = "origin a { ip 10.0.0.1; rtmp 1935; }\n";
  const std::pair<std::string, const char*> cases[] = {
      {"origin { ip 1.1.1.1; rtmp 1; }",
       "a.conf:1:1: an origin has one name, of up to 63 letters, digits, dots, - and _"},
      {"origin a;", "a.conf:1:1: origin is a block: origin NAME { ... }"},
      {"origin a { rtmp 1935; }", "a.conf:1:1: origin a: has no ip"},
      {"origin a { ip 1.1.1.1; }",
       "a.conf:1:1: origin a: has no endpoint: rtmp, http, api, srt or rtc"},
      {"origin a { ip a/b; rtmp 1935; }",
       "a.conf:1:15: origin a.ip: \"a/b\" is neither an IP address nor a host name"},
      {"origin a { ip 1.1.1.1; rtmp 1 2 3 4 5; }",
       "a.conf:1:24: origin a.rtmp: takes up to 4 endpoints"},
      {"origin a { ip 1.1.1.1; rtmp 1 1; }", "a.conf:1:31: origin a.rtmp: \"1\" is given twice"},
      {"origin a { ip 1.1.1.1; rtmp 1; weight 1001; }",
       "a.conf:1:39: origin a.weight: \"1001\" is outside of 0 to 1000"},
      {"origin a { ip 1.1.1.1; rtmp 1; drain x; }",
       "a.conf:1:38: origin a.drain: \"x\" is neither on nor off"},
      {"origin a { ip 1.1.1.1; rtmp 1; learn on; }",
       "a.conf:1:38: origin a.learn: \"on\" is none of auto, srs, nginx_rtmp, off"},
      {"learn { stat_path stat; }",
       "a.conf:1:19: learn.stat_path: \"stat\" is no absolute path with an optional query"},
      {"origin a { ip 1.1.1.1; rtmp 1; rtmp 2; }", "a.conf:1:32: origin a.rtmp: is given twice"},
      {"origin a { ip 1.1.1.1; rtmp 1; foo 2; }", "a.conf:1:32: origin a: unknown option \"foo\""},
      {ok + "origin a { ip 10.0.0.2; rtmp 1935; }",
       "a.conf:2:1: origin a: the name is taken by the one at a.conf:1"},
      {ok + "origin b { ip 10.0.0.1; rtmp 1935; }",
       "a.conf:2:1: origin b.rtmp: 10.0.0.1:1935 belongs to origin a too"},
      {"max_origins 1;" + ok + "origin b { ip 10.0.0.2; rtmp 1935; }",
       "a.conf:1:13: max_origins: 2 origin blocks need as many slots"}};
  for (const auto& [written, fault] : cases) {
    const auto& text = written;
    CAPTURE(text);
    CHECK(only_fault(text) == fault);
  }
}

TEST_CASE("origins_from") {
  const std::string text =
      "origins_from SRS.a.test:1935 { learn off; http 8080; rtmp 1935 rtmps://:443; drain_timeout "
      "1h; }\n"
      "origins_from a-name-that-is-longer-than-there-is-room.test:1935;\n";
  const LoadOutcome outcome = load(text);
  CHECK(faults_of(outcome) == std::vector<std::string>{});
  REQUIRE(outcome.config.origins_from.size() == 2);
  const OriginsFromConfig& set = outcome.config.origins_from[0];
  CHECK(set.text() == "srs.a.test:1935");
  CHECK(set.drain_timeout == 3600000);
  CHECK(set.absent_timeout == 30000);
  const OriginConfig six = set.origin_at(parse_ip("fd00::7").value());
  CHECK(six.name == "srs-fd00--7");
  CHECK(to_string(six.rtmp.at(1)) == "[fd00::7]:443");
  CHECK(to_string(six.http.at(0)) == "[fd00::7]:8080");
  CHECK(outcome.config.origins_from[1].each.name == "a-name-that-is-longer-t");
  const LoadOutcome again = load(print_config(outcome.config));
  CHECK(faults_of(again) == std::vector<std::string>{});
  CHECK(again.config.origins_from == outcome.config.origins_from);
}

TEST_CASE("faults of origins_from") {
  const std::pair<std::string, const char*> cases[] = {
      {"origins_from a.test:1 { http 10.0.0.1:80; }",
       "a.conf:1:30: origins_from a.test:1.http: \"10.0.0.1:80\" has an address; the name has "
       "those"},
      {"origins_from 10.0.0.1:1935;",
       "a.conf:1:14: origins_from \"10.0.0.1:1935\" is no host name with a port"},
      {"origins_from a.test;",
       "a.conf:1:14: origins_from \"a.test\": endpoint \"a.test\": port "
       "\"a.test\" is not a number from 1 to 65535"},
      {"origins_from { }",
       "a.conf:1:1: origins_from has one name and port: origins_from NAME:PORT { ... }"},
      {"origins_from a.test:1 { ip 10.0.0.1; }",
       "a.conf:1:25: origins_from a.test:1: unknown option \"ip\""},
      {"origins_from a.test:1 { rtmp 2; }", "a.conf:1:1: origins_from a.test:1.rtmp: lacks port 1"},
      {"origins_from a.test:1 { drain_timeout 31d; }",
       "a.conf:1:39: origins_from a.test:1.drain_timeout: \"31d\" is above the maximum 30d"},
      {"origins_from a.test:1;\norigins_from A.test:1;",
       "a.conf:2:1: origins_from a.test:1: is given twice, first at a.conf:1"},
      {"origins_from a.x.test:1;\norigins_from a.y.test:1;",
       "a.conf:2:1: origins_from a.y.test:1.name: a is what names begin with at a.conf:1 too"}};
  for (const auto& one : cases) {
    CAPTURE(one.second);
    CHECK(only_fault(one.first) == one.second);
  }
}
