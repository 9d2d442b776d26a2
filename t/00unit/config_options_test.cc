// The table itself, and what derives from it: -T, the pages, the comparison at reload.
#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "common/config/config.h"
#include "common/config/options.h"
#include "common/config/origin.h"

using namespace weir;

namespace {

// Tests run from the top of the checkout.
std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE_MESSAGE(in, path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string faults_of(const LoadOutcome& outcome) {
  std::string all;
  for (const Fault& fault : outcome.faults) all += to_string(fault) + "\n";
  return all;
}

// The file with each `# name value;` line made a statement.
std::string uncommented(const std::string& text) {
  std::istringstream in(text);
  std::string out;
  std::string section;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string first;
    std::string name;
    words >> first >> name;
    if (first == "}") section.clear();
    if (name == "{") section = first;
    const bool option =
        first == "#" && line.ends_with(';') && config::find_option(section, name) != nullptr;
    if (option) line.erase(line.find('#'), 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("each default of the table is a valid value and prints to a valid value") {
  std::set<std::string> paths;
  std::set<std::string_view> variables;
  for (const auto& row : config::option_rows()) {
    const std::string path = row.path();
    CAPTURE(path);
    CHECK(paths.insert(path).second);
    if (!row.env.empty()) CHECK(variables.insert(row.env).second);
    CHECK_FALSE(row.doc.empty());
    Config config;
    CHECK(row.set(config, row, row.initial));
    CHECK(config == Config{});
    CHECK(row.set(config, row, row.get(config)));
    CHECK(config == Config{});
  }
  CHECK(load_config("", {}).ok());
}

TEST_CASE("-T loads again to the same configuration") {
  const std::string text =
      "user \"a b\"; pid_file 'x\"y\\z$'; worker_processes 7; stream_idle_timeout 1m1s1ms;\n"
      "rtmp { listen [::]:1; relay_delay 0; send_client_ip on; }\n"
      "log { target file; file \"/x # y;{}\"; }\n"
      "origin o { ip ::1; rtmp rtmp://:1935 1936; http 80; weight 5; send_client_ip on; learn off; "
      "}\n"
      "origin p { ip media.test; rtmp rtmps://b.test:1935 1936; http 10.0.0.1:80 c.test:81; }\n";
  const LoadOutcome first = load_config_text("a.conf", text, {{"PROXY_HTTP_API", "1.2.3.4:5"}});
  REQUIRE_MESSAGE(first.ok(), faults_of(first));
  CHECK(first.config != Config{});
  const std::string printed = print_config(first.config);
  const LoadOutcome second = load_config_text("printed", printed, {});
  REQUIRE_MESSAGE(second.ok(), faults_of(second));
  CHECK(second.config == first.config);
  CHECK(printed.find("listen 1.2.3.4:5;  # env PROXY_HTTP_API\n") != std::string::npos);
  CHECK(printed.find("relay_delay 0;  # a.conf:2\n") != std::string::npos);
  CHECK(printed.find("daemon off;  # default\n") != std::string::npos);
  CHECK(printed.find("    ip media.test;\n    rtmp rtmps://b.test:1935 media.test:1936;\n"
                     "    http 10.0.0.1:80 c.test:81;\n") != std::string::npos);
}

TEST_CASE("-T shows no secret") {
  const LoadOutcome outcome = load_config_text("a.conf", "control { token hunter2; }",
                                               {{"PROXY_REDIS_PASSWORD", "hunter3"}});
  const std::string printed = print_config(outcome.config);
  CHECK(outcome.config.control.token == "hunter2");
  CHECK(printed.find("hunter") == std::string::npos);
  CHECK(printed.find("token ***;  # masked, a.conf:1\n") != std::string::npos);
}

TEST_CASE("restart options are named and keep their values") {
  const Config running;
  Config next;
  next.rtmp.relay_delay = 5;
  CHECK(restart_changes(running, next).empty());
  next.max_origins = 7;
  next.redis.password = "x";
  CHECK(restart_changes(running, next) ==
        std::vector<std::string>{"max_origins", "redis.password"});
  keep_restart_values(running, next);
  CHECK(next.max_origins == running.max_origins);
  CHECK(next.redis.password.empty());
  CHECK(next.rtmp.relay_delay == 5);
  CHECK(restart_changes(running, next).empty());
}

TEST_CASE("helpers that read text options") {
  Config config;
  CHECK(worker_count(config, 4) == 4);
  CHECK(worker_count(config, 0) == 1);
  CHECK(worker_count(config, 500) == 64);
  config.worker_processes = "3";
  CHECK(worker_count(config, 8) == 3);
  CHECK_FALSE(core_limit(config));
  config.worker_rlimit_core = "1m";
  CHECK(core_limit(config) == 1U << 20);
}

TEST_CASE("conf/weir.conf is the table's, loads to the defaults, and so does its every option") {
  const std::string text = file_text("conf/weir.conf");
  CHECK_MESSAGE(text == options_conf(), "run: weir --print-options-conf > conf/weir.conf");
  const LoadOutcome plain = load_config("conf/weir.conf", {});
  REQUIRE_MESSAGE(plain.ok(), faults_of(plain));
  CHECK(plain.config == Config{});
  const LoadOutcome full = load_config_text("weir.conf", uncommented(text), {});
  REQUIRE_MESSAGE(full.ok(), faults_of(full));
  CHECK(full.config == Config{});
  for (const auto& row : config::option_rows()) {
    CAPTURE(row.name);
    CHECK(full.config.sources.count(row.path()) == 1);
  }
  for (const auto& row : config::origin_rows()) {
    CHECK(text.find("#     " + std::string(row.name) + " ") != std::string::npos);
  }
}

TEST_CASE("docs/OPTIONS.md is the table's") {
  CHECK_MESSAGE(file_text("docs/OPTIONS.md") == options_markdown(), "run: make docs");
}

TEST_CASE("the examples load") {
  const LoadOutcome two = load_config("conf/examples/two-origins.conf", {});
  REQUIRE_MESSAGE(two.ok(), faults_of(two));
  CHECK(two.config.origins.size() == 2);
  CHECK(two.config.origins.at(0).weight == 2);
  const LoadOutcome pods =
      load_config("conf/examples/kubernetes.conf", {{"WEIR_API_TOKEN", "secret"}});
  REQUIRE_MESSAGE(pods.ok(), faults_of(pods));
  CHECK(pods.config.log.format == "json");
  CHECK(pods.config.control.token == "secret");
  CHECK(pods.config.pid_file.empty());
  for (const char* more : {"headless-service.conf", "nginx-rtmp/weir.conf", "srs/weir.conf"}) {
    const LoadOutcome loaded = load_config(std::string("conf/examples/") + more, {});
    CHECK_MESSAGE(loaded.ok(), more << ": " << faults_of(loaded));
  }
}
