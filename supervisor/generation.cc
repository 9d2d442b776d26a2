#include "supervisor/generation.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

Result<void> plan_sockets(Generation& generation, const WorkerKindRow& row,
                          const ListenSockets& present, std::vector<Seat>& seats,
                          Transport transport) {
  const auto listens = transport == Transport::kTcp ? row.listens : row.udp_listens;
  if (listens == nullptr) return {};
  const auto slots = static_cast<unsigned>(seats.size());
  for (const Endpoint& address : listens(*generation.config)) {
    const bool held = std::any_of(present.begin(), present.end(), [&](const auto& socket) {
      return socket->kind == row.kind && socket->transport == transport &&
             socket->address == address;
    });
    if (!held) {
      if (auto free = check_free(address, transport); !free) return free;
    }
    auto sockets = plan_listeners(present, row.kind, address, slots, transport);
    if (!sockets) return tl::unexpected(sockets.error());
    for (unsigned slot = 0; slot < slots; ++slot) {
      for (SharedListenSocket& mine : share_of_slot(*sockets, slot, slots)) {
        seats[slot].sockets.push_back(std::move(mine));
      }
    }
    generation.sockets.insert(generation.sockets.end(), sockets->begin(), sockets->end());
  }
  return {};
}

}  // namespace

Seat* Generation::seat_of(std::uint32_t page) {
  const auto found = std::find_if(seats.begin(), seats.end(),
                                  [page](const Seat& seat) { return seat.page == page; });
  return found == seats.end() ? nullptr : &*found;
}

void Generation::release_sockets() {
  sockets.clear();
  for (Seat& seat : seats) {
    seat.sockets.clear();
    seat.respawn_at_ms = 0;
  }
}

std::uint64_t Generation::next_timer_ms() const {
  std::uint64_t next = 0;
  const auto consider = [&next](std::uint64_t at) {
    if (at != 0 && (next == 0 || at < next)) next = at;
  };
  if (phase == Phase::kStarting) consider(ready_by_ms);
  consider(quit_at_ms);
  consider(kill_at_ms);
  for (const Seat& seat : seats) consider(seat.respawn_at_ms);
  return next;
}

Generation& Generations::add(std::unique_ptr<Generation> generation) {
  return *all_.emplace_back(std::move(generation));
}

Generation* Generations::find(std::uint32_t number) const {
  for (const auto& generation : all_) {
    if (generation->number == number) return generation.get();
  }
  return nullptr;
}

Generation* Generations::in_phase(Phase phase) const {
  for (const auto& generation : all_) {
    if (generation->phase == phase) return generation.get();
  }
  return nullptr;
}

Result<void> plan_seats(Generation& generation, std::span<const WorkerKindRow> kinds,
                        unsigned cores, const ListenSockets& present) {
  for (const WorkerKindRow& row : kinds) {
    const unsigned slots = row.slots(*generation.config, cores);
    std::vector<Seat> seats(slots);
    for (unsigned slot = 0; slot < slots; ++slot) {
      seats[slot].row = &row;
      seats[slot].slot = static_cast<std::uint16_t>(slot);
    }
    if (slots > 0) {
      auto planned = plan_sockets(generation, row, present, seats, Transport::kTcp);
      if (planned) planned = plan_sockets(generation, row, present, seats, Transport::kUdp);
      if (!planned) return planned;
    }
    for (Seat& seat : seats) generation.seats.push_back(std::move(seat));
  }
  return {};
}

}  // namespace weir
