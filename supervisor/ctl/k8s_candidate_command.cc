#include "supervisor/ctl/k8s_candidate_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/host_name.h"
#include "common/base/log.h"
#include "common/config/read_file.h"
#include "common/config/values.h"

namespace weir::ctl {
namespace {

constexpr std::string_view kAccount = "/var/run/secrets/kubernetes.io/serviceaccount/";
constexpr std::uint64_t kRemindMs = 60000;
constexpr std::size_t kFileBytesMax = 64 * 1024;

Result<std::uint16_t> parse_port(std::string_view text) {
  const auto number = config::parse_int(text);
  if (!number || *number < 1 || *number > 65535) return fail("is no port");
  return static_cast<std::uint16_t>(*number);
}

// [https://]host[:port]
Result<void> parse_api(std::string_view text, KubeAccess& access) {
  if (text.starts_with("https://")) text.remove_prefix(8);
  if (text.ends_with('/')) text.remove_suffix(1);
  const bool bare_v6 = !text.starts_with('[') && std::count(text.begin(), text.end(), ':') > 1;
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
  const std::size_t colon = bracket == std::string_view::npos || bare_v6 ? std::string_view::npos
                                                                         : text.find(':', bracket);
  if (colon != std::string_view::npos) {
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) return tl::unexpected(port.error());
    access.port = *port;
    text = text.substr(0, colon);
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  access.host = std::string(text);
  if (!parse_ip(access.host) && !is_host_name(access.host)) {
    return fail("is neither an address nor a name");
  }
  return {};
}

Result<void> set_port(std::string_view value, std::uint16_t& out) {
  const auto port = parse_port(value);
  if (!port) return tl::unexpected(port.error());
  out = *port;
  return {};
}
Result<void> set_duration(std::string_view value, std::uint64_t least, std::uint64_t& out) {
  const auto ms = config::parse_duration(value);
  if (!ms) return tl::unexpected(ms.error());
  if (*ms < least) return fail("is too short");
  out = *ms;
  return {};
}
Result<void> set_name(std::string_view value, std::string& out) {
  if (!is_kube_name(value)) return fail("is no name of Kubernetes");
  out = std::string(value);
  return {};
}
Result<void> set_path(std::string_view value, std::string& out) {
  if (value.empty()) return fail("is empty");
  out = std::string(value);
  return {};
}

struct Option {
  std::string_view word;
  Result<void> (*take)(std::string_view value, CandidateOptions& out);
};
constexpr std::array kOptions = std::to_array<Option>({
    {"--service",
     [](std::string_view v, CandidateOptions& out) {
       out.kind = KubeObject::kService;
       return set_name(v, out.name);
     }},
    {"--node",
     [](std::string_view v, CandidateOptions& out) {
       out.kind = KubeObject::kNode;
       return set_name(v, out.name);
     }},
    {"--namespace",
     [](std::string_view v, CandidateOptions& out) { return set_name(v, out.name_space); }},
    {"--output", [](std::string_view v, CandidateOptions& out) { return set_path(v, out.output); }},
    {"--port",
     [](std::string_view v, CandidateOptions& out) { return set_port(v, out.ports.media); }},
    {"--tcp-port",
     [](std::string_view v, CandidateOptions& out) { return set_port(v, out.ports.tcp); }},
    {"--interval", [](std::string_view v,
                      CandidateOptions& out) { return set_duration(v, 100, out.interval_ms); }},
    {"--timeout",
     [](std::string_view v, CandidateOptions& out) { return set_duration(v, 0, out.timeout_ms); }},
    {"--request-timeout",
     [](std::string_view v,
        CandidateOptions& out) { return set_duration(v, 100, out.access.timeout_ms); }},
    {"--api", [](std::string_view v, CandidateOptions& out) { return parse_api(v, out.access); }},
    {"--ca",
     [](std::string_view v, CandidateOptions& out) { return set_path(v, out.access.ca_file); }},
    {"--token",
     [](std::string_view v, CandidateOptions& out) { return set_path(v, out.access.token_file); }},
});

Result<void> take_words(std::span<const char* const> words, CandidateOptions& out) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word == "--watch") {
      out.watch = true;
      continue;
    }
    std::optional<std::string_view> value;
    if (const std::size_t equals = word.find('='); equals != std::string_view::npos) {
      value = word.substr(equals + 1);
      word = word.substr(0, equals);
    }
    const auto option = std::find_if(kOptions.begin(), kOptions.end(),
                                     [&](const Option& one) { return one.word == word; });
    if (option == kOptions.end()) return fail("unknown argument \"" + std::string(word) + "\"");
    if (!value) {
      if (++i == words.size()) return fail(std::string(word) + " needs a value");
      value = words[i];
    }
    if (auto taken = option->take(*value, out); !taken) {
      return fail(std::string(word) + ": " + config::show(*value) + " " + taken.error().text);
    }
  }
  return {};
}

// ---- the run

class Run {
 public:
  Run(CandidateOptions options, const std::function<Result<void>()>& reload)
      : options_(std::move(options)), reload_(reload), api_(options_.access) {}

  int operator()();

 private:
  std::string source() const;
  std::string path() const;
  KubeAddresses ask() const;
  // Whether the file says so now.
  bool write(const std::vector<std::string>& addresses);
  void try_reload();
  // The same text again only once a minute.
  bool may_say(const std::string& text);
  void say_waiting(const std::string& reason);

  CandidateOptions options_;
  const std::function<Result<void>()>& reload_;
  KubeApi api_;
  bool reload_wanted_ = false;
  std::string said_;
  std::uint64_t said_at_ms_ = 0;
};

std::string Run::source() const {
  if (options_.kind == KubeObject::kNode) return "node " + options_.name;
  return "service " + options_.name_space + "/" + options_.name;
}

std::string Run::path() const {
  if (options_.kind == KubeObject::kNode) return "/api/v1/nodes/" + options_.name;
  return "/api/v1/namespaces/" + options_.name_space + "/services/" + options_.name;
}

KubeAddresses Run::ask() const {
  const auto answer = api_.get(path());
  if (!answer) return {{}, "the API server cannot be asked: " + answer.error().text};
  if (answer->status == 200) return read_kube_addresses(options_.kind, answer->body);
  std::string why = "the API server answers with " + std::to_string(answer->status);
  if (answer->status == 401) why += ": the token is not taken";
  if (answer->status == 403) why += ": the service account may not get it (RBAC)";
  if (answer->status == 404) why += ": it is not there";
  return {{}, why};
}

bool Run::may_say(const std::string& text) {
  const std::uint64_t now = monotonic_ms();
  if (text == said_ && now - said_at_ms_ < kRemindMs) return false;
  said_ = text;
  said_at_ms_ = now;
  return true;
}

void Run::say_waiting(const std::string& reason) {
  if (!may_say(reason)) return;
  LogLine(LogLevel::kNotice, "waiting for the candidate")
      .field("from", source())
      .field("reason", reason);
}

// A file that is half written is never seen: the configuration includes *.conf only.
Result<void> replace_file(const std::string& path, const std::string& text) {
  const std::string made = path + ".new";
  const UniqueFd file(::open(made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return fail_errno("cannot write " + made, errno);
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t n = ::write(file.get(), left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno("cannot write " + made, errno);
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(file.get()) != 0) return fail_errno("cannot write " + made, errno);
  if (::rename(made.c_str(), path.c_str()) != 0) return fail_errno("cannot write " + path, errno);
  return {};
}

bool Run::write(const std::vector<std::string>& addresses) {
  const std::string text = candidate_file(addresses, options_.ports, source());
  if (const auto old = config::read_file(options_.output, kFileBytesMax); old && *old == text) {
    return true;
  }
  if (auto done = replace_file(options_.output, text); !done) {
    say_waiting(done.error().text);
    return false;
  }
  std::string all;
  for (const std::string& address : addresses) all += (all.empty() ? "" : " ") + address;
  LogLine(LogLevel::kNotice, "candidate written")
      .field("from", source())
      .field("candidate", all)
      .field("file", options_.output);
  reload_wanted_ = options_.watch;
  return true;
}

// A Weir that is not there yet, or refuses, is told again with the next round.
void Run::try_reload() {
  if (!reload_wanted_) return;
  const auto done = reload_();
  reload_wanted_ = !done;
  if (done) {
    LogLine(LogLevel::kNotice, "Weir has the candidate");
  } else if (may_say(done.error().text)) {
    LogLine(LogLevel::kWarn, "Weir has not taken the candidate, trying again")
        .field("error", done.error().text);
  }
}

void pause_ms(std::uint64_t ms) {
  timespec left{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000) * 1000000};
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

int Run::operator()() {
  const std::uint64_t began = monotonic_ms();
  for (;;) {
    const KubeAddresses found = ask();
    if (found.addresses.empty()) {
      say_waiting(found.missing);
    } else if (write(found.addresses)) {
      if (!options_.watch) return 0;
      try_reload();
    }
    if (!options_.watch && options_.timeout_ms != 0 &&
        monotonic_ms() - began >= options_.timeout_ms) {
      LogLine(LogLevel::kError, "no candidate in time").field("from", source());
      return 1;
    }
    pause_ms(options_.interval_ms);
  }
}

// The first process of a container has no default actions: without this its stop would last until
// it is killed. Nothing is to be put in order: files are renamed whole.
void leave(int signal) {
  ::_exit(signal == SIGINT ? 130 : 0);
}

void set_signals() {
  struct sigaction action {};
  action.sa_handler = leave;
  for (const int signal : {SIGTERM, SIGQUIT, SIGINT}) ::sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

std::string own_namespace() {
  auto text = config::read_file(std::string(kAccount) + "namespace", 1024);
  if (!text) return "default";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return is_kube_name(*text) ? *text : "default";
}

}  // namespace

Result<CandidateOptions> parse_candidate_options(
    std::span<const char* const> words,
    const std::function<const char*(const char* name)>& environment) {
  CandidateOptions out;
  out.access.ca_file = std::string(kAccount) + "ca.crt";
  out.access.token_file = std::string(kAccount) + "token";
  if (const char* host = environment("KUBERNETES_SERVICE_HOST"); host != nullptr) {
    out.access.host = host;
  }
  if (const char* port = environment("KUBERNETES_SERVICE_PORT"); port != nullptr) {
    if (auto set = set_port(port, out.access.port); !set) {
      return fail("KUBERNETES_SERVICE_PORT: " + config::show(port) + " " + set.error().text);
    }
  }
  if (auto taken = take_words(words, out); !taken) return tl::unexpected(taken.error());
  if (out.name.empty()) return fail("--service NAME or --node NAME is missing");
  if (out.access.host.empty()) {
    return fail("no API server: KUBERNETES_SERVICE_HOST is not set, and --api is not given");
  }
  return out;
}

const char* candidate_usage() {
  return "usage: weirctl k8s-candidate --service NAME | --node NAME [options]\n"
         "  waits for the address of the Service's balancer, or the node's ExternalIP, and writes "
         "it\n"
         "  as rtc.candidate\n"
         "  --namespace NAME     of the Service; else that of the pod\n"
         "  --output FILE        else /etc/weir/conf.d/candidate.conf\n"
         "  --port N             where clients send media, if it is not that of rtc.listen\n"
         "  --tcp-port N         the same for ICE over TCP\n"
         "  --watch              goes on, and reloads Weir when the address has changed\n"
         "  --interval TIME      between two questions (2s)\n"
         "  --timeout TIME       gives up with exit 1; else waits as long as it takes\n"
         "  --request-timeout TIME  for one question (10s)\n"
         "  --api HOST[:PORT]    else KUBERNETES_SERVICE_HOST and _PORT\n"
         "  --ca FILE, --token FILE  else those of the service account\n";
}

int run_k8s_candidate(std::span<const char* const> words,
                      const std::function<Result<void>()>& reload) {
  if (!words.empty() &&
      (std::string_view(words[0]) == "-h" || std::string_view(words[0]) == "--help")) {
    std::fputs(candidate_usage(), stdout);
    return 0;
  }
  auto options = parse_candidate_options(words, [](const char* name) { return std::getenv(name); });
  if (!options) {
    std::fprintf(stderr, "weirctl: k8s-candidate: %s\n%s", options.error().text.c_str(),
                 candidate_usage());
    return 2;
  }
  if (options->name_space.empty()) options->name_space = own_namespace();
  set_signals();
  log_set_process("k8s-candidate");
  return Run(std::move(*options), reload)();
}

}  // namespace weir::ctl
