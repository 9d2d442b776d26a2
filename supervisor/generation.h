// A generation is one configuration and the workers that run it:
//
//   kStarting --all READY--> kCurrent --next one is READY--> kDraining --last worker left--> gone
//       |                                                        |
//       +--deadline, or a worker ended--> killed, gone           +--deadline, or too many--> Quit
//
// Owner: the master.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/config/config.h"
#include "ipc/shm_layout.h"
#include "supervisor/listeners.h"
#include "supervisor/worker_kinds.h"

namespace weir {

enum class Phase : std::uint8_t { kStarting, kCurrent, kDraining };

// A place for one worker in a generation.
struct Seat {
  const WorkerKindRow* row = nullptr;
  std::uint16_t slot = 0;
  ListenSockets sockets;
  std::uint32_t page = ipc::kNoSlot;  // of its process; kNoSlot: none
  std::uint32_t failures = 0;         // ends in a row, for the back-off
  std::uint64_t respawn_at_ms = 0;    // 0: not waiting
};

struct Generation {
  std::uint32_t number = 0;
  Phase phase = Phase::kStarting;
  std::shared_ptr<const Config> config;
  std::vector<Seat> seats;
  ListenSockets sockets;
  std::size_t forked = 0;         // kStarting: so many seats had their first process
  std::uint64_t ready_by_ms = 0;  // kStarting, from the last fork on
  bool ending = false;            // told to end its sessions, or killed
  std::uint64_t quit_at_ms = 0;   // kDraining: Quit is sent; 0: never
  std::uint64_t kill_at_ms = 0;   // what is left is killed; 0: not set

  // The seat whose process has this page; null if there is none.
  Seat* seat_of(std::uint32_t page);
  bool to_fork() const { return phase == Phase::kStarting && forked < seats.size(); }
  // Gives up its hold on its listen sockets: one that no other generation has closes, so that
  // clients are refused there rather than left to wait for nobody.
  void release_sockets();
  // What has to be done at a time: the earliest of its timers; 0: none.
  std::uint64_t next_timer_ms() const;
};

// Those that live, oldest first.
class Generations {
 public:
  using List = std::vector<std::unique_ptr<Generation>>;

  Generation& add(std::unique_ptr<Generation> generation);
  // Takes the newest back.
  void drop_last() { all_.pop_back(); }
  // Null: there is none.
  Generation* find(std::uint32_t number) const;
  Generation* in_phase(Phase phase) const;
  Generation* current() const { return in_phase(Phase::kCurrent); }
  List& all() { return all_; }
  const List& all() const { return all_; }
  std::size_t size() const { return all_.size(); }

 private:
  List all_;
};

// Fills the seats of a generation. Finds or opens the sockets first: an address that cannot be had
// costs nothing that runs. `present`: those that are open already.
Result<void> plan_seats(Generation& generation, std::span<const WorkerKindRow> kinds,
                        unsigned cores, const ListenSockets& present);

}  // namespace weir
