#include "supervisor/worker_forks.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tls_ticket.h"
#include "ipc/counters.h"

namespace weir {
namespace {

constexpr unsigned kSessionBits = 36;  // sessions of one process before ids could meet

}  // namespace

Result<void> WorkerForks::set_up(const Config& config, std::uint64_t serial) {
  auto user = find_worker_user(config);
  if (!user) return tl::unexpected(user.error());
  user_ = std::move(*user);
  session_serial_ = serial >> kSessionBits;
  tickets_ = net::new_ticket_secret(monotonic_ms());
  return {};
}

void WorkerForks::share(ipc::StateWriter& state, int flows, int control_socket) {
  state_ = &state;
  flows_ = flows;
  control_socket_ = control_socket;
}

Result<void> WorkerForks::spawn(Generation& generation, Seat& seat) {
  const std::uint32_t page = state_->take_worker();
  if (page == ipc::kNoSlot) return fail("the table of workers is full");
  auto pair = ipc::Channel::make_pair();
  if (!pair) return tl::unexpected(pair.error());
  // Before the fork: a worker that cannot be heard is not started.
  if (!pool_.watch_input(pair->first.fd(), page))
    return fail_errno("cannot watch a channel", errno);
  ipc::WorkerRecord record;
  record.kind = seat.row->kind;
  record.state = ipc::WorkerState::kStarting;
  record.slot = seat.slot;
  record.generation = generation.number;
  record.respawns = respawns_[{seat.row->kind, seat.slot}];
  record.started_wall_ms = wall_ms();
  ++session_serial_;
  net::advance(tickets_, monotonic_ms(), generation.config->tls.ticket_lifetime);
  const ipc::CounterPages::Loan loan(state_->counters(), page);
  if (!loan.ok()) return fail_errno("cannot give a worker its counter page", errno);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("cannot fork", errno);
  if (pid == 0) enter_child(generation, seat, page, std::move(pair->second));
  record.pid = pid;
  state_->put_worker(page, record);
  seat.page = page;
  seat.respawn_at_ms = 0;
  pool_.add(page, {pid, generation.number, seat.row->kind, seat.slot, std::move(pair->first),
                   monotonic_ms()});
  LogLine(LogLevel::kInfo, "worker started")
      .field("kind", to_string(record.kind))
      .field("slot", record.slot)
      .field("worker_pid", pid)
      .field("generation", generation.number)
      .field("listeners", seat.sockets.size());
  return {};
}

void WorkerForks::enter_child(Generation& generation, const Seat& seat, std::uint32_t page,
                              ipc::Channel channel) {
  WorkerStart start;
  start.row = seat.row;
  start.config = generation.config.get();
  start.user = &user_;
  ipc::WorkerContext& context = start.context;
  context.kind = seat.row->kind;
  context.slot = seat.slot;
  context.generation = generation.number;
  context.page = page;
  context.channel = channel.release();
  context.tickets = tickets_;
  // The numbers are this process's own copies; the objects that hold them are never destroyed here.
  context.state.reset(state_->state_fd());
  context.counters = state_->counters().page(page);
  context.all_counters = state_->counters().all();
  context.flows.reset(flows_);
  context.master_uid = ::geteuid();
  if (context.kind == ipc::WorkerKind::kControl) {
    context.control.reset(control_socket_);
    context.old_state.reset(old_state_.get());
  }
  for (const SharedListenSocket& socket : seat.sockets) {
    const bool udp = socket->transport == Transport::kUdp;
    (udp ? context.udp_sockets : context.listeners).emplace_back(socket->fd.get());
  }
  context.first_session = (session_serial_ << kSessionBits) | 1U;
  run_worker_process(std::move(start));
}

}  // namespace weir
