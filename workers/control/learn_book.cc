#include "workers/control/learn_book.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/route/stream_key.h"

namespace weir::control {
namespace {

using ipc::AudioCodec;
using ipc::VideoCodec;

constexpr std::uint32_t kForgetAfter = 3;  // answers without it in the table, as when that is full
constexpr std::size_t kToldMax = 4096;     // the others are told again
constexpr std::uint64_t kBitsPerKilobit = 1000;

// As SRS and nginx-rtmp write them.
constexpr std::pair<std::string_view, VideoCodec> kVideo[] = {
    {"H264", VideoCodec::kH264},         {"HEVC", VideoCodec::kHevc}, {"H265", VideoCodec::kHevc},
    {"AV1", VideoCodec::kAv1},           {"VP8", VideoCodec::kVp8},   {"VP9", VideoCodec::kVp9},
    {"Sorenson-H263", VideoCodec::kH263}};
constexpr std::pair<std::string_view, AudioCodec> kAudio[] = {
    {"AAC", AudioCodec::kAac},   {"MP3", AudioCodec::kMp3},     {"MP3-8K", AudioCodec::kMp3},
    {"Opus", AudioCodec::kOpus}, {"Speex", AudioCodec::kSpeex}, {"G711A", AudioCodec::kPcm},
    {"G711U", AudioCodec::kPcm}, {"LPCM", AudioCodec::kPcm}};

template <typename Codec, std::size_t kSize>
Codec codec_of(std::string_view text, const std::pair<std::string_view, Codec> (&known)[kSize]) {
  if (text.empty()) return Codec::kNone;
  for (const auto& [name, codec] : known) {
    if (name == text) return codec;
  }
  return Codec::kOther;
}

// By more than a quarter. Small ones jump about.
bool differs_much(std::uint32_t a, std::uint32_t b) {
  constexpr std::uint32_t kSmall = 64;
  const std::uint64_t more = std::max(a, b);
  const std::uint64_t less = std::min(a, b);
  return more - less > std::max<std::uint64_t>(more / 4, less == 0 ? 0 : kSmall);
}

bool holds(const std::vector<std::uint32_t>& sorted, std::uint32_t slot) {
  return std::binary_search(sorted.begin(), sorted.end(), slot);
}

void sort_unique(std::vector<std::uint32_t>& slots) {
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
}

}  // namespace

ipc::StreamFacts facts_of(const origin_api::StreamRow& row) {
  ipc::StreamFacts facts;
  facts.kbps = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(row.bits_per_second / kBitsPerKilobit, UINT32_MAX));
  facts.video = codec_of(row.video, kVideo);
  facts.audio = codec_of(row.audio, kAudio);
  return facts;
}

void LearnBook::know(const std::vector<std::uint32_t>& slots) {
  known_.insert(known_.end(), slots.begin(), slots.end());
  sort_unique(known_);
}

void LearnBook::begin_answer() {
  shown_.clear();
  if (!aliases_.empty()) is_shown_.assign(state_.header().stream_capacity, false);
  for (Told& told : told_) ++told.answers;
}

bool LearnBook::is_news(const ipc::StreamHead& head, const ipc::StreamFacts& facts) const {
  const bool here = ipc::OriginRef{head.origin_slot, head.origin_generation} == origin_ &&
                    head.has(ipc::kLearned);
  return !here || facts.video != head.facts.video || facts.audio != head.facts.audio ||
         differs_much(facts.kbps, head.facts.kbps);
}

// False: an earlier row has shown it. Only aliases make that likely, so only then it is known.
bool LearnBook::show(std::uint32_t slot) {
  if (!is_shown_.empty()) {
    if (is_shown_[slot]) return false;
    is_shown_[slot] = true;
  }
  shown_.push_back(slot);
  return true;
}

bool LearnBook::take(const origin_api::StreamRow& row) {
  const route::StreamKey named = route::from_names(row.vhost, row.app, row.name);
  const route::AliasFound alias = aliases_.find(named);
  const route::StreamKey& key = alias.keys.empty() ? named : alias.keys.front();
  if (!key.ok()) return false;
  ipc::StreamHead head;
  const std::uint32_t slot = state_.find_slot(key.text, head);
  // Renditions that are one stream here: the first row's facts count.
  if (slot != ipc::kNoSlot && !show(slot)) return true;
  const ipc::StreamFacts facts = facts_of(row);
  const bool is_new = slot == ipc::kNoSlot;
  if (!is_new && !is_news(head, facts)) return true;
  if (is_new && told_.size() >= kToldMax) return true;
  ipc::StreamLearned message;
  message.origin = origin_;
  message.facts = facts;
  message.key.assign(key.text);
  if (send_.learned(message) && is_new) told_.push_back({key.text, 0});
  return true;
}

void LearnBook::end_answer(Proof proof) {
  sort_unique(shown_);
  find_told();
  find_missing(proof);
  sort_unique(shown_);
  std::swap(known_, shown_);
  shown_.clear();
  shown_.shrink_to_fit();
  is_shown_.clear();
  is_shown_.shrink_to_fit();
}

// What was told as new has a slot now, or will have one, unless the table is full.
void LearnBook::find_told() {
  const auto is_settled = [&](const Told& told) {
    if (told.answers == 0) return false;  // by this answer
    ipc::StreamHead head;
    const std::uint32_t slot = state_.find_slot(told.key, head);
    if (slot == ipc::kNoSlot) return told.answers >= kForgetAfter;
    // It is looked for in the next answer; the slot is what stays of it.
    if (!holds(shown_, slot)) known_.push_back(slot);
    return true;
  };
  told_.erase(std::remove_if(told_.begin(), told_.end(), is_settled), told_.end());
  sort_unique(known_);
}

void LearnBook::find_missing(Proof proof) {
  std::vector<std::uint32_t> missing;
  std::set_difference(known_.begin(), known_.end(), shown_.begin(), shown_.end(),
                      std::back_inserter(missing));
  std::vector<std::uint32_t> suspect;
  for (const std::uint32_t slot : missing) {
    const bool gone = proof == Proof::kGone || (proof == Proof::kSuspect && holds(suspect_, slot));
    ipc::StreamRecord stream;
    if (gone && (!state_.read_stream(slot, stream) || unlearn(stream.key_text()))) continue;
    shown_.push_back(slot);
    if (proof != Proof::kNothing || holds(suspect_, slot)) suspect.push_back(slot);
  }
  suspect_ = std::move(suspect);
}

bool LearnBook::unlearn(std::string_view key) {
  ipc::StreamUnlearned message;
  message.origin = origin_;
  message.key.assign(key);
  return send_.unlearned(message);
}

}  // namespace weir::control
