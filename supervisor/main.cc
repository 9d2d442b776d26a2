// The program: command line, configuration, pid file, then the master.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "common/base/log.h"
#include "common/base/version.h"
#include "supervisor/command_line.h"
#include "supervisor/ctl/ctl.h"
#include "supervisor/dump.h"
#include "supervisor/explain.h"
#include "supervisor/listen_report.h"
#include "supervisor/log_files.h"
#include "supervisor/master.h"
#include "supervisor/notify.h"
#include "supervisor/pid_file.h"
#include "supervisor/runtime_path.h"
#include "supervisor/start_check.h"
#include "supervisor/tls_check.h"
#include "supervisor/upgrade.h"
#include "supervisor/worker_process.h"
#include "supervisor/worker_table_check.h"

namespace {

using weir::CommandLine;
using weir::Config;

constexpr int kFine = 0;
constexpr int kFailed = 1;
constexpr int kBadUsage = 2;

// The kinds of workers that this release serves; one row each.
constexpr weir::WorkerKindRow kWorkerKinds[] = {
    {weir::ipc::WorkerKind::kControl, [](const Config&, unsigned) { return 1U; },
     [](const Config& config) {
       std::vector<weir::Endpoint> out{config.control.listen};
       if (!config.control.tls_listen.empty()) out.push_back(config.control.tls_listen);
       return out;
     },
     weir::ipc::run_control_worker},
    {weir::ipc::WorkerKind::kRtmp,
     [](const Config& config, unsigned cores) {
       return config.rtmp.enabled ? weir::worker_count(config, cores) : 0U;
     },
     [](const Config& config) {
       std::vector<weir::Endpoint> out{config.rtmp.listen};
       if (!config.rtmp.tls_listen.empty()) out.push_back(config.rtmp.tls_listen);
       return out;
     },
     weir::ipc::run_rtmp_worker},
    {weir::ipc::WorkerKind::kHttp,
     [](const Config& config, unsigned cores) {
       const bool any = config.http.enabled || config.http_api.enabled;
       return any ? weir::worker_count(config, cores) : 0U;
     },
     [](const Config& config) {
       std::vector<weir::Endpoint> out;
       const auto add = [&out](bool enabled, const weir::Endpoint& plain,
                               const weir::Endpoint& tls) {
         if (enabled) out.push_back(plain);
         if (enabled && !tls.empty()) out.push_back(tls);
       };
       add(config.http.enabled, config.http.listen, config.http.tls_listen);
       add(config.http_api.enabled, config.http_api.listen, config.http_api.tls_listen);
       return out;
     },
     weir::ipc::run_http_worker},
    {weir::ipc::WorkerKind::kRtc,
     [](const Config& config, unsigned cores) {
       return config.rtc.enabled ? weir::worker_count(config, cores) : 0U;
     },
     [](const Config& config) {
       std::vector<weir::Endpoint> out;
       if (!config.rtc.tcp_listen.empty()) out.push_back(config.rtc.tcp_listen);
       return out;
     },
     weir::ipc::run_rtc_worker,
     [](const Config& config) { return std::vector<weir::Endpoint>{config.rtc.listen}; }},
    {weir::ipc::WorkerKind::kSrt,
     [](const Config& config, unsigned cores) {
       return config.srt.enabled ? weir::worker_count(config, cores) : 0U;
     },
     [](const Config&) { return std::vector<weir::Endpoint>{}; }, weir::ipc::run_srt_worker,
     [](const Config& config) { return std::vector<weir::Endpoint>{config.srt.listen}; }},
};

void complain(const std::string& text) {
  std::fprintf(stderr, "weir: %s\n", text.c_str());
}

int dump(pid_t pid) {
  const auto state = weir::open_state_of(pid);
  const auto text = state ? weir::dump_state(state->get())
                          : weir::Result<std::string>(tl::unexpected(state.error()));
  if (!text) {
    complain(text.error().text);
    return kFailed;
  }
  std::fputs(text->c_str(), stdout);
  const auto flows = weir::open_flows_of(pid);
  const auto sessions = flows ? weir::dump_flows(flows->get())
                              : weir::Result<std::string>(tl::unexpected(flows.error()));
  std::fputs(sessions ? sessions->c_str() : (sessions.error().text + "\n").c_str(), stdout);
  return kFine;
}

// Over the control socket, which says what became of it, if the very instance that the pid file
// names answers there; by a signal otherwise.
int send_order(const CommandLine& line, const Config& config) {
  const std::string socket = weir::runtime_path(config.control.socket, "ctl.sock");
  const int at_socket = weir::ctl::master_pid(socket);
  pid_t pid = at_socket;
  if (!config.pid_file.empty()) {
    const auto named = weir::read_pid_file(config.pid_file);
    if (!named) {
      complain(named.error().text);
      return kFailed;
    }
    pid = *named;
  }
  if (pid == 0) {
    complain("the configuration names no pid_file, and no Weir answers at its control socket");
    return kFailed;
  }
  if (line.action == weir::Action::kDump) return dump(pid);
  if (pid == at_socket) return weir::ctl::give_order(socket, line.order);
  if (::kill(pid, line.signal) != 0) {
    complain("cannot signal pid " + std::to_string(pid) + ": " + std::strerror(errno));
    return kFailed;
  }
  return kFine;
}

// The configuration has no faults; does the rest?
int test(const Config& config, const std::string& path) {
  if (const std::string unasked = weir::unasked_listeners(config); !unasked.empty()) {
    complain("notice: these listen although the configuration names none of them: " + unasked +
             " (" + std::string(weir::kUnaskedRemedy) + ")");
  }
  const std::string socket = weir::runtime_path(config.control.socket, "ctl.sock");
  const auto named = weir::read_pid_file(config.pid_file);
  const pid_t running = named ? *named : weir::ctl::master_pid(socket);
  const auto cores = static_cast<unsigned>(weir::allowed_cores().size());
  const weir::StartCheck found = weir::check_start(config, kWorkerKinds, cores, running);
  for (const std::string& warning : found.warnings) complain("warning: " + warning);
  for (const std::string& fault : found.faults) complain("a start would fail: " + fault);
  if (!found.faults.empty()) return kFailed;
  complain("configuration " + (path.empty() ? "(built-in defaults)" : path) + " is fine");
  return kFine;
}

// By the running Weir where there is one.
int explain(const CommandLine& line, const Config& config) {
  std::optional<weir::ipc::StateView> view;
  if (const auto pid = weir::read_pid_file(config.pid_file)) {
    if (const auto state = weir::open_state_of(*pid)) {
      if (auto mapped = weir::ipc::StateView::map(state->get())) view.emplace(std::move(*mapped));
    } else {
      complain(state.error().text);
    }
  }
  const auto said = weir::explain_url(line.url, config, view ? &*view : nullptr);
  if (!said) {
    complain(said.error().text);
    return kFailed;
  }
  std::fputs(said->text.c_str(), stdout);
  return said->found ? kFine : kFailed;
}

// The parent stays until the service is up, so that its exit code says whether it is. In the child:
// the descriptor to report on. No value: this is the parent, `code` is its exit code.
std::optional<weir::UniqueFd> detach(const Config& config, int& code) {
  int ends[2];
  code = kFailed;
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  weir::UniqueFd read_end(ends[0]);
  weir::UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return std::nullopt;
  if (child > 0) {
    write_end.reset();
    char byte = 0;
    ssize_t n = 0;
    do {
      n = ::read(read_end.get(), &byte, 1);
    } while (n < 0 && errno == EINTR);
    code = n == 1 && byte == weir::kServiceUp ? kFine : kFailed;
    return std::nullopt;
  }
  ::setsid();
  weir::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
  if (config.log.target != "stderr") ::dup2(null.get(), STDERR_FILENO);
  return write_end;
}

// False: do not start. A default path that cannot be written is no reason not to serve.
bool take_pid_file(const Config& config, weir::PidFile& file) {
  if (config.pid_file.empty()) return true;
  weir::make_runtime_folder(config.pid_file);
  auto created = weir::PidFile::create(config.pid_file);
  if (created) {
    file = std::move(*created);
    return true;
  }
  const bool optional = config.pid_file == Config{}.pid_file && ::geteuid() != 0 &&
                        created.error().sys_errno != EWOULDBLOCK;
  weir::LogLine(optional ? weir::LogLevel::kWarn : weir::LogLevel::kError,
                optional ? "going on without a pid file" : "cannot start")
      .field("error", created.error().text);
  return optional;
}

// Of two programs in one service the one that runs is the service, whatever its manager knows.
bool leave_to_running(const Config& config) {
  const weir::Notifier notifier;
  const auto pid = weir::read_pid_file(config.pid_file);
  if (!notifier.has_manager() || !pid || !weir::is_of_our_service(*pid)) return false;
  notifier.is_main(*pid);
  weir::LogLine(weir::LogLevel::kNotice, "this service runs already: its manager knows now")
      .field("pid", *pid);
  return true;
}

// A service manager may have left 0, 1 or 2 closed; a socket must not get such a number.
void fill_standard_descriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) ::close(fd);
}

int serve(weir::MasterOptions options, Config config) {
  if (config.daemon && !options.ready) {
    int code = kFine;
    auto ready = detach(config, code);
    if (!ready) return code;
    options.ready = std::move(*ready);
  }
  weir::log_set_process("master");
  if (auto opened = weir::open_logs(config, nullptr); !opened) {
    complain(opened.error().text);
    weir::leave_last_words(options.ready, opened.error().text);
    return kFailed;
  }
  if (!take_pid_file(config, options.pid_file)) return leave_to_running(config) ? kFine : kFailed;
  weir::Master master(std::move(options), std::move(config));
  return master.run();
}

int run(const CommandLine& line, char** argv) {
  weir::Inherited inherited = weir::take_inherited();  // before the environment is read
  const std::string path = weir::choose_config_path(line.config);
  const weir::Environment environment = weir::read_environment(environ);
  weir::LoadOutcome loaded = weir::load_config(path, environment);
  weir::check_tls(loaded);
  weir::check_worker_table(loaded, kWorkerKinds,
                           static_cast<unsigned>(weir::allowed_cores().size()),
                           loaded.config.max_workers);
  for (const std::string& warning : loaded.warnings) complain("warning: " + warning);
  // Faults in the file are no reason to leave a running Weir without orders.
  if (line.action == weir::Action::kSignal || line.action == weir::Action::kDump) {
    return send_order(line, loaded.config);
  }
  if (!loaded.ok()) {
    for (const weir::Fault& fault : loaded.faults) complain(weir::to_string(fault));
    weir::leave_last_words(inherited.ready, weir::lines_of(loaded.faults));
    return kBadUsage;
  }
  switch (line.action) {
    case weir::Action::kTest:
      return test(loaded.config, path);
    case weir::Action::kPrintConfig:
      std::fputs(weir::print_config(loaded.config).c_str(), stdout);
      return kFine;
    case weir::Action::kExplain:
      return explain(line, loaded.config);
    case weir::Action::kSignal:
    case weir::Action::kDump:
    case weir::Action::kServe:
    case weir::Action::kVersion:
    case weir::Action::kHelp:
    case weir::Action::kOptionsMarkdown:
    case weir::Action::kOptionsConf:
    case weir::Action::kOptionsMan:
      break;
  }
  weir::MasterOptions options;
  options.config_path = path;
  options.environment = environment;
  options.kinds = kWorkerKinds;
  options.argv = argv;
  options.inherited = options.store.take();
  if (inherited.ready) options.inherited = std::move(inherited.sockets);
  options.predecessor = std::move(inherited.predecessor);
  options.handover = std::move(inherited.handover);
  options.session_lock = std::move(inherited.session_lock);
  options.old_state = std::move(inherited.state);
  options.control = std::move(inherited.control);
  options.ready = std::move(inherited.ready);
  return serve(std::move(options), std::move(loaded.config));
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_descriptors();
  if (argc > 0 && weir::ctl::is_weirctl(argv[0])) return weir::ctl::run_weirctl(argc, argv);
  std::vector<std::string> words(argv, argv + argc);  // the title overwrites the originals
  std::vector<char*> copy;
  for (std::string& word : words) copy.push_back(word.data());
  copy.push_back(nullptr);
  const auto line = weir::parse_command_line(argc, argv);
  if (!line) {
    complain(line.error().text);
    std::fputs(weir::usage(), stderr);
    return kBadUsage;
  }
  weir::remember_arguments(argc, argv);
  switch (line->action) {
    case weir::Action::kVersion:
      std::printf("weir %s\n", weir::version().data());
      return kFine;
    case weir::Action::kHelp:
      std::fputs(weir::usage(), stdout);
      return kFine;
    case weir::Action::kOptionsMarkdown:
      std::fputs(weir::options_markdown().c_str(), stdout);
      return kFine;
    case weir::Action::kOptionsConf:
      std::fputs(weir::options_conf().c_str(), stdout);
      return kFine;
    case weir::Action::kOptionsMan:
      std::fputs(weir::options_man().c_str(), stdout);
      return kFine;
    case weir::Action::kServe:
    case weir::Action::kTest:
    case weir::Action::kPrintConfig:
    case weir::Action::kSignal:
    case weir::Action::kDump:
    case weir::Action::kExplain:
      break;
  }
  return run(*line, copy.data());
}
