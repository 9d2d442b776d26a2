#include "supervisor/ctl/ctl.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <vector>

#include "common/base/fd.h"
#include "common/config/config.h"
#include "supervisor/ctl/ctl_client.h"
#include "supervisor/ctl/k8s_candidate_command.h"
#include "supervisor/ctl/left_over.h"
#include "supervisor/ctl/password.h"
#include "supervisor/runtime_path.h"

namespace weir::ctl {
namespace {

constexpr std::uint64_t kOrderMs = 120000;  // how long a reload or an upgrade may take
constexpr std::uint64_t kPageRows = 1000;

struct Call {
  Client client;
  std::string command;
  bool json = false;
  std::vector<std::string> words;  // after the command
  std::uint64_t wait_ms = 0;       // 0: not given
};

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  if (!text.empty() && text.back() != '\n') std::fputs("\n", stdout);
}

int complain(const std::string& text, int code = kFailed) {
  std::fprintf(stderr, "weirctl: %s\n", text.c_str());
  return code;
}

int no_answer(const Error& error) {
  return complain(error.text, error.sys_errno == ENOENT || error.sys_errno == ECONNREFUSED
                                  ? kNoInstance
                                  : kFailed);
}

// The answer to a request, or the exit code.
tl::expected<Answer, int> ask(const Call& call, std::string_view method, const std::string& target,
                              std::uint64_t timeout_ms = kOrderMs) {
  auto answer = call.client.ask(method, target, timeout_ms);
  if (!answer) return tl::unexpected(no_answer(answer.error()));
  if (!answer->ok()) return tl::unexpected(complain(answer->error()));
  return std::move(*answer);
}

// All rows of a listing, page by page, as one answer.
tl::expected<JsonPtr, int> list(const Call& call, const std::string& what) {
  JsonPtr all(cJSON_CreateArray());
  for (std::uint64_t start = 0;;) {
    const auto page = ask(call, "GET",
                          "/api/v1/" + what + "?start=" + std::to_string(start) +
                              "&count=" + std::to_string(kPageRows));
    if (!page) return tl::unexpected(page.error());
    cJSON* const rows = cJSON_GetObjectItemCaseSensitive(page->json.get(), what.c_str());
    std::uint64_t taken = 0;
    for (cJSON* row = rows != nullptr ? rows->child : nullptr; row != nullptr; ++taken) {
      cJSON* const next = row->next;
      cJSON_AddItemToArray(all.get(), cJSON_DetachItemViaPointer(rows, row));
      row = next;
    }
    start += taken;
    if (taken == 0 || start >= number_at(page->json.get(), "total")) return all;
  }
}

int print_json(const std::string& what, JsonPtr rows) {
  JsonPtr answer(cJSON_CreateObject());
  cJSON_AddNumberToObject(answer.get(), "code", 0);
  cJSON_AddNumberToObject(answer.get(), "total", cJSON_GetArraySize(rows.get()));
  cJSON_AddItemToObject(answer.get(), what.c_str(), rows.release());
  char* const text = cJSON_PrintUnformatted(answer.get());
  print(text != nullptr ? text : "");
  cJSON_free(text);
  return kDone;
}

int show_list(const Call& call, const std::string& what, std::span<const Column> columns) {
  auto rows = list(call, what);
  if (!rows) return rows.error();
  if (call.json) return print_json(what, std::move(*rows));
  print(table(rows->get(), columns));
  return kDone;
}

template <auto kName>
std::string text_cell(const cJSON& row) {
  return text_at(&row, kName);
}
template <auto kName>
std::string number_cell(const cJSON& row) {
  return std::to_string(number_at(&row, kName));
}
template <auto kName>
std::string time_cell(const cJSON& row) {
  return duration_text(number_at(&row, kName));
}

// ---- commands

constexpr char kId[] = "id", kName[] = "name", kState[] = "state", kIp[] = "ip",
               kStreams[] = "streams", kPublishers[] = "publishers", kPlayers[] = "players",
               kWeight[] = "weight", kFailures[] = "failures_in_row", kKey[] = "key",
               kOriginName[] = "origin_name", kSource[] = "source", kVideo[] = "video",
               kAudio[] = "audio", kKbps[] = "kbps", kProtocol[] = "protocol", kRole[] = "role",
               kStream[] = "stream", kClient[] = "client", kAge[] = "age_ms", kIdle[] = "idle_ms",
               kFrom[] = "from";

int show_streams(const Call& call) {
  static constexpr Column kColumns[] = {{"STREAM", text_cell<kKey>},
                                        {"ORIGIN", text_cell<kOriginName>},
                                        {"PUBLISHERS", number_cell<kPublishers>},
                                        {"PLAYERS", number_cell<kPlayers>},
                                        {"KNOWN BY", text_cell<kSource>},
                                        {"VIDEO", text_cell<kVideo>},
                                        {"AUDIO", text_cell<kAudio>},
                                        {"KBIT/S", number_cell<kKbps>}};
  return show_list(call, "streams", kColumns);
}

int show_sessions(const Call& call) {
  static constexpr Column kColumns[] = {{"ID", text_cell<kId>},
                                        {"PROTOCOL", text_cell<kProtocol>},
                                        {"ROLE", text_cell<kRole>},
                                        {"STREAM", text_cell<kStream>},
                                        {"ORIGIN", text_cell<kOriginName>},
                                        {"CLIENT", text_cell<kClient>},
                                        {"AGE", time_cell<kAge>},
                                        {"SILENT", time_cell<kIdle>}};
  return show_list(call, "sessions", kColumns);
}

int show_origins(const Call& call) {
  static constexpr Column kColumns[] = {{"ID", text_cell<kId>},
                                        {"NAME", text_cell<kName>},
                                        {"STATE",
                                         [](const cJSON& row) {
                                           return text_at(&row, "state") +
                                                  (flag_at(&row, "draining") ? ", draining" : "");
                                         }},
                                        {"ADDRESS", text_cell<kIp>},
                                        {"STREAMS", number_cell<kStreams>},
                                        {"PUBLISHERS", number_cell<kPublishers>},
                                        {"PLAYERS", number_cell<kPlayers>},
                                        {"WEIGHT", number_cell<kWeight>},
                                        {"FAILURES", number_cell<kFailures>},
                                        {"FROM", text_cell<kFrom>}};
  return show_list(call, "origins", kColumns);
}

// /readyz in words, and whether it says yes.
tl::expected<std::pair<bool, std::string>, int> readiness(const Call& call) {
  const auto answer = call.client.ask("GET", "/readyz");
  if (!answer) return tl::unexpected(no_answer(answer.error()));
  if (!answer->ok()) return std::pair(false, "not ready: " + answer->error());
  const std::uint64_t up = number_at(answer->json.get(), "origins_up");
  return std::pair(true, "ready, " + std::to_string(up) + (up == 1 ? " origin up" : " origins up"));
}

int show_ready(const Call& call) {
  const auto ready = readiness(call);
  if (!ready) return ready.error();
  print(ready->second);
  return ready->first ? kDone : kFailed;
}

int show_status(const Call& call) {
  const auto summary = ask(call, "GET", "/api/v1/summaries");
  if (!summary) return summary.error();
  if (call.json) {
    print(summary->body);
    return kDone;
  }
  const auto ready = readiness(call);
  if (!ready) return ready.error();
  const cJSON* const json = summary->json.get();
  const cJSON* const origins = member(json, "origins");
  const cJSON* const streams = member(json, "streams");
  const auto number = [](const cJSON* from, const char* name) {
    return std::to_string(number_at(from, name));
  };
  std::string text = "Weir " + text_at(json, "version") + ", pid " +
                     std::to_string(master_pid(call.client.socket())) + ", up " +
                     duration_text(number_at(json, "uptime_ms")) + ", " + ready->second + "\n";
  text += "origins   " + number(origins, "up") + " of " + number(origins, "total") + " up";
  for (const char* word : {"ejected", "dead", "draining", "unresolved"}) {
    if (number_at(origins, word) != 0) text += ", " + number(origins, word) + " " + word;
  }
  text += "\nstreams   " + number(streams, "total") + "\nsessions  " + number(json, "sessions");
  text += "\nreloads   " + number(json, "reloads") + ", refused " + number(json, "reloads_failed") +
          "; generation " + number(json, "generation") + ", " + number(json, "generations_alive") +
          " alive; workers that died " + number(json, "worker_deaths") + "\n";
  print(text);
  return kDone;
}

int show_config(const Call& call) {
  const auto answer = ask(call, "GET", "/api/v1/config");
  if (!answer) return answer.error();
  print(answer->body);
  return kDone;
}

// The id of the origin that the word names: by id, or by its name if only one has it.
tl::expected<std::string, int> find_origin(const Call& call, const std::string& word) {
  const auto rows = list(call, "origins");
  if (!rows) return tl::unexpected(rows.error());
  std::vector<std::string> found;
  const cJSON* row = nullptr;
  cJSON_ArrayForEach(row, rows->get()) {
    const std::string id = text_at(row, "id");
    if (id == word) return id;
    if (text_at(row, "name") == word) found.push_back(id);
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) return tl::unexpected(complain("there is no origin " + word));
  std::string text = "several origins are named " + word + "; say which:";
  for (const std::string& id : found) text += " " + id;
  return tl::unexpected(complain(text));
}

// With an origin: that one; without: the whole instance.
// Whoever sends SIGQUIT next wants balancers to have seen the answer of /readyz first.
int drain(const Call& call) {
  std::string target = "/api/v1/" + call.command;
  std::string what = "this instance";
  if (!call.words.empty()) {
    const auto id = find_origin(call, call.words[0]);
    if (!id) return id.error();
    target = "/api/v1/origins/" + *id + "/" + call.command;
    what = "origin " + call.words[0];
  }
  const auto answer = ask(call, "POST", target);
  if (!answer) return answer.error();
  const bool on = call.command == "drain";
  print(call.json ? answer->body : what + (on ? " drains" : " drains no longer"));
  if (on && call.wait_ms != 0) ::poll(nullptr, 0, static_cast<int>(call.wait_ms));
  return kDone;
}

// By the id of the listing, or by the session's as it stands in the logs.
int kick(const Call& call) {
  std::string id = call.words[0];
  if (id.find('-') == std::string::npos) {
    const auto rows = list(call, "sessions");
    if (!rows) return rows.error();
    const cJSON* row = nullptr;
    cJSON_ArrayForEach(row, rows->get()) {
      if (text_at(row, "session") == call.words[0]) id = text_at(row, "id");
    }
    if (id == call.words[0]) return complain("there is no session " + id);
  }
  const auto answer = ask(call, "DELETE", "/api/v1/sessions/" + id);
  if (!answer) return answer.error();
  print(call.json ? answer->body : "session " + id + " ends");
  return kDone;
}

// Reload, upgrade, reopen: the answer says what has become of it.
int order(const Call& call) {
  const auto answer =
      ask(call, "POST", "/api/v1/" + call.command, call.wait_ms != 0 ? call.wait_ms : kOrderMs);
  if (!answer) return answer.error();
  const std::string text = text_at(answer->json.get(), "text");
  print(call.json ? answer->body : call.command + " done" + (text.empty() ? "" : ": " + text));
  return kDone;
}

// For a program that tries again: it decides itself what is worth telling.
Result<void> reload_quietly(const std::string& socket) {
  const auto answer = Client(socket).ask("POST", "/api/v1/reload", kOrderMs);
  if (!answer) return tl::unexpected(answer.error());
  if (!answer->ok()) return fail(answer->error());
  return {};
}

// By a pidfd, which also sees the end of one that its parent has not waited for. (Linux 5.3; glibc
// 2.36 has a name for it.)
bool wait_for_end(int pid, std::uint64_t wait_ms) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return errno == ESRCH;
  pollfd entry{process.get(), POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(wait_ms)) == 1;
}

// Quit, stop.
int end(const Call& call) {
  const int pid = master_pid(call.client.socket());
  const auto answer = ask(call, "POST", "/api/v1/" + call.command);
  if (!answer) return answer.error();
  if (call.wait_ms != 0 && pid > 0 && !wait_for_end(pid, call.wait_ms)) {
    return complain("pid " + std::to_string(pid) + " has not ended yet");
  }
  if (call.json) print(answer->body);
  return kDone;
}

int passwd(const Call& call) {
  static constexpr std::string_view kRoles[] = {"viewer", "operator", "admin"};
  const std::string& role = call.words[1];
  if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles)) {
    return complain("a role is viewer, operator or admin, not \"" + role + "\"", kBadUsage);
  }
  const auto password = read_password();
  if (!password) return complain(password.error().text);
  const auto hash = hash_password(*password);
  if (!hash) return complain(hash.error().text);
  print("user " + call.words[0] + " \"" + *hash + "\" " + role + ";");
  return kDone;
}

int end_left_over(const Call&) {
  return end_left_over_processes() ? kDone : kFailed;
}

struct Command {
  std::string_view name;
  std::size_t words_min, words_max;
  int (*run)(const Call& call);
  const char* arguments;
  const char* help;  // "": not shown
};
constexpr Command kCommands[] = {
    {"status", 0, 0, show_status, "", "one screen: is it well, how many of what"},
    {"streams", 0, 0, show_streams, "", "which stream is at which origin"},
    {"sessions", 0, 0, show_sessions, "", "who publishes and plays over WebRTC and SRT"},
    {"origins", 0, 0, show_origins, "", "the origins and their health"},
    {"drain", 0, 1, drain, "[ORIGIN]",
     "an origin gets no new stream; without one: /readyz says no, so that balancers send nobody"},
    {"undrain", 0, 1, drain, "[ORIGIN]", "takes that back"},
    {"kick", 1, 1, kick, "SESSION", "ends a session, by its id here or in the logs"},
    {"reload", 0, 0, order, "",
     "reads the configuration; prints its faults, if any, and changes nothing"},
    {"upgrade", 0, 0, order, "",
     "the installed program takes over; if it cannot, this one goes on"},
    {"reopen", 0, 0, order, "", "opens the log files anew"},
    {"quit", 0, 0, end, "",
     "ends when the sessions are over, after grace_quit_timeout at the latest"},
    {"stop", 0, 0, end, "", "ends at once"},
    {"ready", 0, 0, show_ready, "", "exit 0 when it takes clients, else 1 and why not"},
    {"config", 0, 0, show_config, "", "the configuration in effect, secrets masked"},
    {"passwd", 2, 2, passwd, "NAME ROLE",
     "reads a password, prints the user's line for the console"},
    {"end-left-over", 0, 0, end_left_over, "", ""},
};

std::optional<std::uint64_t> parse_seconds(std::string_view text) {
  std::uint64_t seconds = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || at != text.data() + text.size()) return std::nullopt;
  if (seconds == 0 || seconds > 86400) return std::nullopt;
  return seconds * 1000;
}

// As the configuration says, as far as it can be read.
std::string default_socket(const std::string& config_path) {
  const LoadOutcome loaded =
      load_config(choose_config_path(config_path), read_environment(environ));
  return runtime_path(loaded.config.control.socket, "ctl.sock");
}

int bad_usage(const std::string& text) {
  std::fprintf(stderr, "weirctl: %s\n%s", text.c_str(), usage().c_str());
  return kBadUsage;
}

// The command has options of its own: what follows is not looked at.
constexpr std::string_view kCandidate = "k8s-candidate";

struct Line {
  std::string socket;
  std::string config;
  bool json = false;
  std::uint64_t wait_ms = 0;
  std::vector<std::string> words;     // the command first
  std::span<const char* const> rest;  // behind kCandidate
};

// Of an option with a value. False: it is none; the error: what is wrong with the value.
tl::expected<bool, std::string> take_option(Line& line, const std::string& word,
                                            const char* value) {
  if (word != "-S" && word != "-c" && word != "--wait") return false;
  if (value == nullptr) return tl::unexpected(word + " needs a value");
  if (word == "-S") line.socket = value;
  if (word == "-c") line.config = value;
  if (word != "--wait") return true;
  const auto wait = parse_seconds(value);
  if (!wait) return tl::unexpected(std::string("--wait takes seconds from 1 to 86400"));
  line.wait_ms = *wait;
  return true;
}

// An error is the exit code: everything has been said.
tl::expected<Line, int> parse_line(std::span<const char* const> arguments) {
  Line line;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string word = arguments[i];
    const char* const next = i + 1 < arguments.size() ? arguments[i + 1] : nullptr;
    const auto taken = take_option(line, word, next);
    if (!taken) return tl::unexpected(bad_usage(taken.error()));
    if (*taken) {
      ++i;
    } else if (word == "-j") {
      line.json = true;
    } else if (word == "-h" || word == "--help") {
      std::fputs(usage().c_str(), stdout);
      return tl::unexpected(kDone);
    } else if (word.size() > 1 && word[0] == '-') {
      return tl::unexpected(bad_usage("unknown argument \"" + word + "\""));
    } else {
      line.words.push_back(word);
      line.rest = arguments.subspan(i + 1);
      if (line.words.size() == 1 && word == kCandidate) return line;
    }
  }
  if (line.words.empty()) return tl::unexpected(bad_usage("a command is missing"));
  return line;
}

}  // namespace

bool is_weirctl(std::string_view argv0) {
  return argv0.substr(argv0.rfind('/') + 1) == "weirctl";
}

std::string usage() {
  std::string text =
      "usage: weirctl [-j] [-S SOCKET] [-c FILE] COMMAND [--wait SECONDS]\n"
      "  -j          answers as JSON\n"
      "  -S SOCKET   the instance's control socket; otherwise as the configuration says\n"
      "  -c FILE     whose control.socket is meant; otherwise /etc/weir/weir.conf if present\n"
      "  --wait N    reload, upgrade: give up after N seconds (120); quit, stop: wait for the "
      "end;\n"
      "              drain: leaves N seconds later, when balancers have seen it\n"
      "commands:\n";
  for (const Command& command : kCommands) {
    if (*command.help == '\0') continue;
    std::string left = "  " + std::string(command.name) + " " + command.arguments;
    left.resize(std::max<std::size_t>(left.size() + 1, 21), ' ');
    text += left + command.help + "\n";
  }
  text +=
      "  k8s-candidate ...  in Kubernetes: where clients send WebRTC media; -h tells its options\n";
  return text + "exit: 0 done, 1 failed or refused, 2 bad usage, 3 no Weir answers\n";
}

int master_pid(const std::string& socket) {
  if (socket.empty()) return 0;
  const auto answer = Client(socket).ask("GET", "/api/v1/workers");
  if (!answer || !answer->ok()) return 0;
  return static_cast<int>(number_at(member(answer->json.get(), "master"), "pid"));
}

int give_order(const std::string& socket, std::string_view word) {
  const Call call{Client(socket), std::string(word), false, {}, 0};
  return word == "quit" || word == "stop" ? end(call) : order(call);
}

int run_weirctl(int argc, const char* const* argv) {
  const auto line = parse_line({argv + 1, static_cast<std::size_t>(argc - 1)});
  if (!line) return line.error();
  const auto socket = [&line] {
    return line->socket.empty() ? default_socket(line->config) : line->socket;
  };
  const std::string& name = line->words[0];
  if (name == kCandidate) {
    return run_k8s_candidate(line->rest, [at = socket()] { return reload_quietly(at); });
  }
  const auto* command = std::find_if(std::begin(kCommands), std::end(kCommands),
                                     [&name](const Command& each) { return each.name == name; });
  if (command == std::end(kCommands)) return bad_usage("unknown command \"" + name + "\"");
  Call call{Client(socket()), name, line->json, {}, line->wait_ms};
  call.words.assign(line->words.begin() + 1, line->words.end());
  if (call.words.size() < command->words_min || call.words.size() > command->words_max) {
    return bad_usage("usage: " + name + " " + command->arguments);
  }
  return command->run(call);
}

}  // namespace weir::ctl
