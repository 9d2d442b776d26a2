#include "ipc/alias_pick.h"

#include <algorithm>
#include <utility>

namespace weir::ipc {
namespace {

struct Known {
  bool known = false;
  bool lives = false;
  OriginRef origin;
};

Known look_up(const StateView& state, const route::StreamKey& key) {
  StreamHead stream;
  if (!state.find_stream(key.text, stream)) return {};
  return {true, stream.is_held(), {stream.origin_slot, stream.origin_generation}};
}

std::size_t pick(const std::vector<Known>& known, std::optional<OriginRef> pinned) {
  const auto first = [&](auto fits) {
    return static_cast<std::size_t>(std::find_if(known.begin(), known.end(), fits) - known.begin());
  };
  std::size_t at = first([&](const Known& k) { return pinned && k.lives && k.origin == *pinned; });
  if (at == known.size()) at = first([](const Known& k) { return k.lives; });
  if (at == known.size()) at = first([](const Known& k) { return k.known; });
  return at == known.size() ? 0 : at;
}

}  // namespace

PickedStream pick_stream(const StateView& state, std::vector<route::StreamKey> names,
                         std::optional<OriginRef> pinned) {
  PickedStream out;
  if (names.size() == 1) {
    out.key = std::move(names.front());
    return out;
  }
  std::vector<Known> known;
  for (const route::StreamKey& name : names) known.push_back(look_up(state, name));
  const std::size_t at = pick(known, pinned);
  const Known& picked = known[at];
  const bool there = picked.lives && (!pinned || picked.origin == *pinned);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == at) continue;
    const bool elsewhere = pinned && known[i].lives && !(known[i].origin == *pinned);
    const bool same_place = known[i].known && known[i].origin == picked.origin;
    if (there ? same_place : !elsewhere) out.also.push_back(std::move(names[i]));
  }
  out.key = std::move(names[at]);
  return out;
}

}  // namespace weir::ipc
