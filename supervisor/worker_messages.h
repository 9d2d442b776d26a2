// WorkerMessages: what workers say to the master, but READY, and what is answered. Owner: the
// master. Every message is hostile input: its kind, its sender and its lengths are checked here.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "supervisor/commands.h"
#include "supervisor/flows.h"
#include "supervisor/registry.h"
#include "supervisor/worker_pool.h"

namespace weir {

class WorkerMessages {
 public:
  // What is asked of the master itself.
  using Command = std::function<void(ipc::MasterAction, Commands::Asker)>;
  WorkerMessages(Registry& registry, Flows& flows, WorkerPool& pool, Command command)
      : registry_(registry), flows_(flows), pool_(pool), command_(std::move(command)) {}

  // True: it is READY, and nothing has been done about it.
  bool dispatch(WorkerProcess& process, std::uint32_t page, ByteView bytes);

 private:
  void dispatch_request(WorkerProcess& process, std::uint32_t page, ipc::MessageType type,
                        ByteView bytes);
  void dispatch_session(WorkerProcess& process, std::uint32_t page, ipc::MessageType type,
                        ByteView bytes);
  bool dispatch_news(ipc::MessageType type, ByteView bytes, std::uint64_t now_ms);

  Registry& registry_;
  Flows& flows_;
  WorkerPool& pool_;
  Command command_;
};

}  // namespace weir
