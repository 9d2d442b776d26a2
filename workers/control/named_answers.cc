#include "workers/control/named_answers.h"

#include <algorithm>
#include <utility>

namespace weir::control {
namespace {

constexpr std::uint64_t kTickMs = 250;

}  // namespace

NamedAnswers::NamedAnswers(event_base* base, const Config& config, std::uint32_t generation,
                           const ipc::StateView& state, Resolver& resolver, Send send)
    : state_(state),
      generation_(generation),
      send_(std::move(send)),
      timer_(make_timer<&NamedAnswers::tick>(base, this)) {
  for (const OriginsFromConfig& block : config.origins_from) {
    names_.emplace_back();
    names_.back().watch = resolver.watch(block.host(), [this] { arm(timer_, 0); });
  }
  if (!names_.empty()) arm(timer_, 0);
}

void NamedAnswers::stop() {
  timer_.reset();
  names_.clear();
}

void NamedAnswers::tick() {
  if (state_.header().generation.load(std::memory_order_relaxed) == generation_) {
    for (std::uint32_t block = 0; block < names_.size(); ++block) {
      if (!names_[block].watch) continue;  // the Resolver has said why
      for (std::size_t family = 0; family < NameRecord::kFamilies; ++family) look_at(block, family);
    }
  }
  arm(timer_, kTickMs);
}

void NamedAnswers::look_at(std::uint32_t block, std::size_t family) {
  const NameRecord& record = names_[block].watch.record();
  Told& told = names_[block].told[family];
  const NameFault fault = record.fault(family);
  const bool absent = fault == NameFault::kNotFound || fault == NameFault::kNoData;
  const bool known = fault == NameFault::kNone && !record.addresses(family).empty();
  if (!absent && !known) return;
  const std::vector<Endpoint> none;
  const std::vector<Endpoint>& addresses = known ? record.addresses(family) : none;
  if (told.anything && told.addresses == addresses) return;
  if (tell(block, family, addresses)) told = {true, addresses};
}

bool NamedAnswers::tell(std::uint32_t block, std::size_t family,
                        const std::vector<Endpoint>& addresses) {
  ipc::NamedAddresses message;
  message.generation = generation_;
  message.block = block;
  message.serial = ++serial_;
  message.family = static_cast<std::uint8_t>(family);
  if (addresses.empty()) {
    message.answer = ipc::NameAnswer::kAbsent;
    return send_(message);
  }
  message.total = static_cast<std::uint16_t>(addresses.size());
  for (std::size_t first = 0; first < addresses.size(); first += message.row_count) {
    const std::size_t count =
        std::min<std::size_t>(addresses.size() - first, ipc::NamedAddresses::kRows);
    message.first = static_cast<std::uint16_t>(first);
    message.row_count = static_cast<std::uint16_t>(count);
    std::copy_n(addresses.begin() + static_cast<std::ptrdiff_t>(first), count, message.rows);
    if (!send_(message)) return false;
  }
  return true;
}

}  // namespace weir::control
