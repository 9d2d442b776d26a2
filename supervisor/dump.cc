#include "supervisor/dump.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "ipc/flow_reader.h"
#include "ipc/route_reader.h"

namespace weir {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

template <typename... Values>
void add_line(std::string& out, const char* format, Values... values) {
  char line[1024];
  const int length = std::snprintf(line, sizeof line, format, values...);
  if (length > 0) out.append(line, std::min(static_cast<std::size_t>(length), sizeof line - 1));
}

// Names come from outside: nothing in them may move the reader's terminal.
std::string printable(std::string_view text) {
  std::string safe;
  for (const char c : text) safe += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return safe;
}

std::uint64_t ago(std::uint64_t now, std::uint64_t then) {
  return now > then ? now - then : 0;
}

void add_header(std::string& out, const ipc::StateHeader& h, std::uint64_t now) {
  add_line(out, "master pid %d, layout version %u, heartbeat %llu ms ago\n", h.master_pid,
           h.version, static_cast<unsigned long long>(ago(now, h.heartbeat_ms.load())));
  add_line(out, "generation %u, alive %u, reloads %llu, refused %llu, worker deaths %llu\n",
           h.generation.load(), h.generations_alive.load(),
           static_cast<unsigned long long>(h.reloads.load()),
           static_cast<unsigned long long>(h.reloads_failed.load()),
           static_cast<unsigned long long>(h.worker_deaths.load()));
  add_line(out, "origins %u of %u, streams %u of %u, sessions %llu\n", h.origins_used.load(),
           h.origin_capacity, h.streams_used.load(), h.stream_capacity,
           static_cast<unsigned long long>(h.sessions.load()));
}

void add_workers(std::string& out, const ipc::StateView& view) {
  out += "\nworkers\n  page     pid  kind     slot  generation  state     respawns\n";
  for (std::uint32_t i = 0; i < view.header().worker_capacity; ++i) {
    ipc::WorkerRecord w;
    if (!view.read_worker(i, w)) continue;
    add_line(out, "  %4u %7d  %-8s %4u  %10u  %-9s %8u\n", i, w.pid,
             std::string(to_string(w.kind)).c_str(), w.slot, w.generation,
             std::string(to_string(w.state)).c_str(), w.respawns);
  }
}

void add_origins(std::string& out, const ipc::StateView& view, std::uint64_t now) {
  out +=
      "\norigins\n  slot.gen  state    flags   weight  streams  publishers  players  fails  "
      "heartbeat  name, rtmp\n";
  for (std::uint32_t i = 0; i < view.header().origin_capacity; ++i) {
    ipc::OriginRecord o;
    if (!view.read_origin(i, o)) continue;
    const std::string heartbeat =
        o.is_static ? "static" : std::to_string(ago(now, o.heartbeat_ms) / 1000) + "s";
    const std::string rtmp = o.endpoint_count[0] > 0 ? to_string(o.endpoints[0][0]) : "-";
    add_line(out, "  %4u.%-3u  %-7s  %-6s  %6u  %7u  %10u  %7u  %5u  %9s  %s, %s\n", i,
             o.generation, std::string(state_text(o)).c_str(), o.draining ? "drain" : "-", o.weight,
             o.streams, o.publishers, o.players, o.failures_in_row(), heartbeat.c_str(),
             printable(o.name).c_str(), rtmp.c_str());
  }
}

void add_streams(std::string& out, const ipc::StateView& view) {
  out += "\nstreams\n   slot  origin     publishers  players  flags  key\n";
  for (std::uint32_t i = 0; i < view.header().stream_capacity; ++i) {
    ipc::StreamRecord s;
    if (!view.read_stream(i, s)) continue;
    const char flags[] = {s.has(ipc::kLearned) ? 'L' : '-', s.has(ipc::kSearched) ? 'S' : '-',
                          s.has(ipc::kKept) ? 'K' : '-', '\0'};
    add_line(out, "  %5u  %4u.%-5u %10u  %7u  %5s  ", i, s.origin_slot, s.origin_generation,
             s.publishers, s.players, flags);
    out += printable(s.key_text()) + "\n";
  }
}

// The first descriptor of the process that `wanted(link target, path below /proc)` finds right,
// opened for reading.
template <typename Wanted>
Result<UniqueFd> find_descriptor(pid_t master, const std::string& what, Wanted wanted) {
  const std::string folder = "/proc/" + std::to_string(master) + "/fd";
  const std::unique_ptr<DIR, CloseDir> dir(::opendir(folder.c_str()));
  if (!dir) return fail_errno("cannot read " + folder, errno);
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string path = folder + "/" + entry->d_name;
    char target[256] = {};
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target - 1);
    if (length <= 0 || !wanted(std::string_view(target), path)) continue;
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno("cannot open " + path, errno);
    return fd;
  }
  return fail("process " + std::to_string(master) + " has no " + what + " of Weir");
}

// A file that is such a table.
bool begins_with(std::uint32_t magic, const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::uint32_t begins = 0;
  return fd && ::pread(fd.get(), &begins, sizeof begins, 0) == sizeof begins && begins == magic;
}

// Credentials are not shown.
void add_flow(std::string& out, const ipc::FlowRecord& f, std::uint32_t slot, std::uint64_t now) {
  add_line(out, "  %5u.%-5u %s %-4s %-9s %-9s %5d  %7llus %6llus  %10llu %10llu %6llu  ", slot,
           f.generation, session_text(f.session).c_str(), std::string(to_string(f.kind)).c_str(),
           std::string(to_string(f.state)).c_str(), std::string(to_string(f.role)).c_str(),
           static_cast<int>(f.owner),
           static_cast<unsigned long long>(ago(now, f.created_ms) / 1000),
           static_cast<unsigned long long>(ago(now, f.activity_ms) / 1000),
           static_cast<unsigned long long>(f.counters.packets_from_client),
           static_cast<unsigned long long>(f.counters.packets_to_client),
           static_cast<unsigned long long>(f.counters.drops));
  out += (f.client.empty() ? std::string("-") : to_string(f.client)) + " -> " +
         (f.upstream_local.empty() ? std::string("-") : to_string(f.upstream_local)) + " -> " +
         to_string(f.origin_endpoint) + "  " + printable(f.get(ipc::FlowField::kKey)) + "\n";
}

}  // namespace

Result<UniqueFd> open_state_of(pid_t master) {
  return find_descriptor(master, "state segment", [](std::string_view target, const auto& path) {
    return target.starts_with("/memfd:weir-state") ||
           (target.starts_with("/") && begins_with(ipc::kStateMagic, path));
  });
}

Result<UniqueFd> open_flows_of(pid_t master) {
  return find_descriptor(master, "session table", [](std::string_view target, const auto& path) {
    return target.starts_with("/memfd:weir-flows") ||
           (target.starts_with("/") && begins_with(ipc::kFlowMagic, path));
  });
}

Result<std::string> dump_flows(int flows_fd) {
  auto view = ipc::FlowView::map(flows_fd);
  if (!view) return tl::unexpected(view.error());
  const std::uint64_t now = monotonic_ms();
  std::string out =
      "\nsessions of webrtc and srt\n  slot.gen    session          kind state     role      owner"
      "      age    idle    from client  to client  drops  client -> upstream -> origin, stream\n";
  for (std::uint32_t slot = 0; slot < view->header().capacity; ++slot) {
    ipc::FlowRecord flow;
    if (view->read_slot(slot, flow)) add_flow(out, flow, slot, now);
  }
  return out;
}

Result<std::string> dump_state(int state_fd) {
  auto view = ipc::StateView::map(state_fd);
  if (!view) return tl::unexpected(view.error());
  const std::uint64_t now = monotonic_ms();
  std::string out;
  add_header(out, view->header(), now);
  add_workers(out, *view);
  add_origins(out, *view, now);
  add_streams(out, *view);
  return out;
}

}  // namespace weir
