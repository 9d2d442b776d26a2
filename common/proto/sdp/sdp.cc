#include "common/proto/sdp/sdp.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/base/ascii.h"

namespace weir::sdp {
namespace {

enum class Form : std::uint8_t { kDescription, kFragment };

constexpr std::string_view kCandidate = "candidate:";
constexpr std::string_view kEndOfCandidates = "end-of-candidates";

struct Line {
  std::string_view text;
  std::string_view end;  // "\r\n", "\n", or empty at the end of the text
};

Line take_line(std::string_view& rest) {
  const std::size_t feed = rest.find('\n');
  if (feed == std::string_view::npos) return {std::exchange(rest, {}), {}};
  const std::size_t end = feed > 0 && rest[feed - 1] == '\r' ? feed - 1 : feed;
  const Line line{rest.substr(0, end), rest.substr(end, feed + 1 - end)};
  rest.remove_prefix(feed + 1);
  return line;
}

// The next word of `rest`, empty when there is none.
std::string_view take_word(std::string_view& rest) {
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const std::string_view word = rest.substr(0, rest.find(' '));
  rest.remove_prefix(word.size());
  return word;
}

template <typename Number>
bool to_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

// The value of `name:value`, if the attribute is that.
bool value_of(std::string_view attribute, std::string_view name, std::string_view& value) {
  if (!attribute.starts_with(name)) return false;
  value = attribute.substr(name.size());
  return true;
}

// RFC 8839 allows letters, digits, `+` and `/`; origins in use are less strict. A colon would part
// the user name of STUN in the wrong place.
bool is_credential(std::string_view text, std::size_t longest) {
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7F && c != ':'; });
}

CandidateType candidate_type(std::string_view name) {
  if (name == "host") return CandidateType::kHost;
  if (name == "srflx") return CandidateType::kServerReflexive;
  if (name == "prflx") return CandidateType::kPeerReflexive;
  return name == "relay" ? CandidateType::kRelay : CandidateType::kOther;
}

// RFC 8839, section 5.1. False: not to be used; it is replaced all the same.
bool parse_candidate(std::string_view value, Candidate& out) {
  const std::string_view foundation = take_word(value);
  if (foundation.empty() || !to_number(take_word(value), out.component)) return false;
  const std::string_view transport = take_word(value);
  if (same_ignoring_case(transport, "udp")) out.transport = Transport::kUdp;
  if (same_ignoring_case(transport, "tcp")) out.transport = Transport::kTcp;
  if (!to_number(take_word(value), out.priority)) return false;
  out.address = take_word(value);
  if (out.address.empty() || !to_number(take_word(value), out.port)) return false;
  if (take_word(value) != "typ") return false;
  out.type = candidate_type(take_word(value));
  for (std::string_view name = take_word(value); !name.empty(); name = take_word(value)) {
    const std::string_view argument = take_word(value);
    if (name == "tcptype") out.tcp_type = argument;
  }
  if (auto ip = parse_ip(out.address)) {
    out.endpoint = *ip;
    out.endpoint->port = out.port;
  }
  return true;
}

class Parser {
 public:
  Parser(Form form, Description& out) : form_(form), out_(out) {}

  SdpStatus run(std::string_view text) {
    if (text.size() > limits::kSdpBytes) return SdpStatus::kTooLarge;
    if (form_ == Form::kDescription && !text.starts_with("v=0")) return SdpStatus::kNotSdp;
    std::size_t lines = 0;
    for (std::string_view rest = text; !rest.empty();) {
      if (++lines > limits::kSdpLines) return SdpStatus::kTooLarge;
      const std::string_view line = take_line(rest).text;
      // Blank lines are not SDP, but a last one is common.
      if (line.empty()) continue;
      empty_ = false;
      const SdpStatus status = parse_line(line);
      if (status != SdpStatus::kOk) return status;
    }
    if (empty_) return SdpStatus::kNotSdp;
    finish();
    return SdpStatus::kOk;
  }

 private:
  SdpStatus parse_line(std::string_view line) {
    const auto control = [](char c) { return c == '\0' || c == '\r'; };
    if (line.size() < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' ||
        std::any_of(line.begin(), line.end(), control)) {
      return SdpStatus::kBadLine;
    }
    const std::string_view value = line.substr(2);
    if (line[0] == 'm') return parse_media(value);
    if (line[0] == 'a') return parse_attribute(value);
    return form_ == Form::kFragment ? SdpStatus::kBadLine : SdpStatus::kOk;
  }

  // `kind port[/count] protocol formats…`
  SdpStatus parse_media(std::string_view value) {
    if (out_.media.size() >= limits::kSdpMedia) return SdpStatus::kTooLarge;
    Media media;
    media.kind = take_word(value);
    const std::string_view port = take_word(value);
    media.protocol = take_word(value);
    if (media.protocol.empty() || !to_number(port.substr(0, port.find('/')), media.port)) {
      return SdpStatus::kBadMedia;
    }
    out_.media.push_back(std::move(media));
    return SdpStatus::kOk;
  }

  SdpStatus parse_attribute(std::string_view attribute) {
    Media* media = out_.media.empty() ? nullptr : &out_.media.back();
    std::string_view value;
    if (value_of(attribute, kCandidate, value)) return add_candidate(media, value);
    if (attribute == kEndOfCandidates) {
      (media != nullptr ? media->end_of_candidates : out_.end_of_candidates) = true;
    } else if (value_of(attribute, "ice-ufrag:", value)) {
      return set_credential(media != nullptr ? media->ufrag : out_.ufrag, value,
                            limits::kIceUfragMax);
    } else if (value_of(attribute, "ice-pwd:", value)) {
      return set_credential(media != nullptr ? media->password : out_.password, value,
                            limits::kIcePasswordMax);
    } else if (value_of(attribute, "setup:", value)) {
      set_first(media != nullptr ? media->setup : out_.setup, value);
    } else if (attribute == "ice-lite" && media == nullptr) {
      out_.ice_lite = true;
    } else if (value_of(attribute, "mid:", value) && media != nullptr) {
      set_first(media->mid, value);
    } else if (value_of(attribute, "group:BUNDLE ", value) && media == nullptr) {
      return add_bundle(value);
    }
    return SdpStatus::kOk;
  }

  static void set_first(std::string_view& field, std::string_view value) {
    if (field.empty()) field = value;
  }

  static SdpStatus set_credential(std::string_view& field, std::string_view value,
                                  std::size_t longest) {
    if (!is_credential(value, longest)) return SdpStatus::kBadCredential;
    set_first(field, value);
    return SdpStatus::kOk;
  }

  SdpStatus add_candidate(Media* media, std::string_view value) {
    if (++candidates_ > limits::kSdpCandidates) return SdpStatus::kTooLarge;
    if (media != nullptr) media->candidate_lines = true;
    Candidate candidate;
    if (parse_candidate(value, candidate)) {
      (media != nullptr ? media->candidates : out_.candidates).push_back(candidate);
    }
    return SdpStatus::kOk;
  }

  SdpStatus add_bundle(std::string_view value) {
    std::vector<std::string_view> mids;
    for (std::string_view mid = take_word(value); !mid.empty(); mid = take_word(value)) {
      if (++bundled_ > limits::kSdpBundled) return SdpStatus::kTooLarge;
      mids.push_back(mid);
    }
    if (!mids.empty()) out_.bundles.push_back(std::move(mids));
    return SdpStatus::kOk;
  }

  // What sections inherit from the session, and their places in the bundles.
  void finish() {
    for (Media& media : out_.media) {
      set_first(media.ufrag, out_.ufrag);
      set_first(media.password, out_.password);
      set_first(media.setup, out_.setup);
    }
    for (const auto& mids : out_.bundles) join(mids);
  }

  // The first section of a group that is not rejected has the transport (RFC 8843, sections 7.3 and
  // 9), wherever it stands. Where only another one has the credentials, they are those of all.
  void join(const std::vector<std::string_view>& mids) {
    std::vector<Media*> members;
    for (const std::string_view mid : mids) {
      for (Media& media : out_.media) {
        if (media.bundled || media.mid != mid) continue;
        media.bundled = true;
        members.push_back(&media);
      }
    }
    if (members.empty()) return;
    const auto alive = [](const Media* media) { return media->port != 0; };
    const auto complete = [](const Media* media) {
      return !media->ufrag.empty() && !media->password.empty();
    };
    const auto first = std::find_if(members.begin(), members.end(), alive);
    Media* const tag = first != members.end() ? *first : members.front();
    const auto source =
        complete(tag) ? members.end() : std::find_if(members.begin(), members.end(), complete);
    if (source != members.end()) {
      tag->ufrag = (*source)->ufrag;
      tag->password = (*source)->password;
    }
    for (Media* media : members) {
      media->follower = media != tag;
      set_first(media->ufrag, tag->ufrag);
      set_first(media->password, tag->password);
    }
  }

  const Form form_;
  Description& out_;
  std::size_t candidates_ = 0;
  std::size_t bundled_ = 0;
  bool empty_ = true;
};

SdpStatus parse(Form form, std::string_view text, Description& out) {
  out = {};
  const SdpStatus status = Parser(form, out).run(text);
  if (status != SdpStatus::kOk) out = {};
  return status;
}

// Has a transport of its own, so that candidates make sense in it.
bool has_transport(const Media& media) {
  return media.port != 0 && !media.follower && !media.ufrag.empty();
}

// RFC 8445, section 5.1.2.1, with the recommended preference of host candidates; RFC 6544, section
// 4.2, for TCP: below every UDP one, and 4 as the direction preference of passive ones.
constexpr std::uint32_t kComponent = 1;
std::uint32_t udp_priority(std::size_t index) {
  const auto local = static_cast<std::uint32_t>(65535 - index);
  return (126U << 24) | (local << 8) | (256 - kComponent);
}
std::uint32_t tcp_priority(std::size_t index) {
  const auto local = static_cast<std::uint32_t>((4U << 13) | (8191 - index));
  return (90U << 24) | (local << 8) | (256 - kComponent);
}

// The public lines. Foundations differ, since no two have both address and transport in common.
std::string candidate_lines(const PublicCandidates& candidates, std::string_view line_end) {
  std::string out;
  const std::size_t udp = std::min(candidates.udp.size(), limits::kSdpPublic);
  const std::size_t tcp = std::min(candidates.tcp.size(), limits::kSdpPublic);
  for (std::size_t i = 0; i < udp + tcp; ++i) {
    const bool is_udp = i < udp;
    const Endpoint& endpoint = is_udp ? candidates.udp[i] : candidates.tcp[i - udp];
    out += "a=candidate:" + std::to_string(i + 1) + " 1 " + (is_udp ? "udp " : "tcp ");
    out += std::to_string(is_udp ? udp_priority(i) : tcp_priority(i - udp)) + " ";
    out += ip_to_string(endpoint) + " " + std::to_string(endpoint.port) + " typ host";
    if (!is_udp) out += " tcptype passive";
    out += line_end;
  }
  return out;
}

class Rewriter {
 public:
  Rewriter(Form form, const Description& description, const PublicCandidates& candidates,
           std::string& out)
      : form_(form), description_(description), candidates_(candidates), out_(out) {}

  void run(std::string_view text) {
    out_.reserve(text.size());
    std::string_view peek = text;
    use_line_end(take_line(peek).end);
    for (std::string_view rest = text; !rest.empty();) put(take_line(rest));
    end_section();
  }

 private:
  void put(const Line& line) {
    const std::string_view attribute =
        line.text.starts_with("a=") ? line.text.substr(2) : std::string_view();
    if (attribute.starts_with(kCandidate)) {
      if (media_ != nullptr || sectionless()) write_block(out_.size());
      return;
    }
    if (line.text.starts_with("m=")) {
      end_section();
      use_line_end(line.end);
      media_ = &description_.media[next_media_++];
      written_ = false;
    } else if (attribute == kEndOfCandidates && needs_block()) {
      write_block(out_.size());
    }
    out_ += line.text;
    out_ += line.end;
    if (!line.text.empty()) section_end_ = out_.size();  // blank lines stay behind what is added
  }

  void end_section() {
    if (written_ || block_.empty() || !needs_block()) return;
    if (!out_.ends_with('\n')) {
      out_ += line_end_;
      section_end_ = out_.size();
    }
    write_block(section_end_);
  }

  // A fragment that has no sections is a section itself.
  bool sectionless() const { return form_ == Form::kFragment && description_.media.empty(); }
  bool needs_block() const {
    return media_ != nullptr ? has_transport(*media_)
                             : sectionless() && !description_.ufrag.empty();
  }

  // What is added to a section has the line end of its m= line.
  void use_line_end(std::string_view end) {
    if (end == line_end_ || (end.empty() && !line_end_.empty())) return;
    line_end_ = end.empty() ? "\r\n" : end;
    block_ = candidate_lines(candidates_, line_end_);
  }

  void write_block(std::size_t at) {
    if (!std::exchange(written_, true)) out_.insert(at, block_);
    section_end_ = out_.size();
  }

  const Form form_;
  const Description& description_;
  const PublicCandidates& candidates_;
  std::string& out_;
  std::string_view line_end_;
  std::string block_;  // what every section gets
  const Media* media_ = nullptr;
  std::size_t next_media_ = 0;
  std::size_t section_end_ = 0;  // of out_
  bool written_ = false;         // this section has its block
};

SdpStatus rewrite(Form form, std::string_view text, const PublicCandidates& candidates,
                  std::string& out) {
  out.clear();
  Description description;
  const SdpStatus status = parse(form, text, description);
  if (status == SdpStatus::kOk) Rewriter(form, description, candidates, out).run(text);
  return status;
}

// Puts what a client sends out without the places where it may be reached.
class Concealer {
 public:
  Concealer(const Endpoint& stand_in, std::string& out) : out_(out) {
    if (stand_in.empty()) return;
    line_ = "a=candidate:1 1 udp " + std::to_string(udp_priority(0)) + " " +
            ip_to_string(stand_in) + " " + std::to_string(stand_in.port) + " typ host";
  }

  void run(std::string_view text) {
    out_.reserve(text.size());
    for (std::string_view rest = text; !rest.empty();) put(take_line(rest));
  }

 private:
  void put(const Line& line) {
    std::string_view value;
    if (value_of(line.text, "a=candidate:", value)) {
      if (!std::exchange(stood_in_, true) && !line_.empty()) write(line_, line.end);
    } else if (value_of(line.text, "a=remote-candidates:", value)) {
      return;
    } else if (value_of(line.text, "a=rtcp:", value)) {
      write("a=rtcp:9 IN IP4 0.0.0.0", line.end);
    } else if (value_of(line.text, "c=", value)) {
      write("c=IN IP4 0.0.0.0", line.end);
    } else if (value_of(line.text, "m=", value)) {
      stood_in_ = false;
      put_media(line);
    } else {
      write(line.text, line.end);
    }
  }

  // Port 0 stays: the section is rejected, or waits for its bundle.
  void put_media(const Line& line) {
    std::string_view rest = line.text.substr(2);
    take_word(rest);
    const std::string_view port = take_word(rest);
    const auto digits = static_cast<std::size_t>(port.data() - line.text.data());
    std::uint16_t number = 0;
    if (!to_number(port.substr(0, port.find('/')), number) || number == 0) {
      return write(line.text, line.end);
    }
    out_ += line.text.substr(0, digits);
    write("9", {});
    write(rest, line.end);
  }

  void write(std::string_view text, std::string_view end) {
    out_ += text;
    out_ += end;
  }

  std::string& out_;
  std::string line_;
  bool stood_in_ = true;  // not before the first section
};

SdpStatus conceal(Form form, std::string_view text, const Endpoint& stand_in, std::string& out) {
  out.clear();
  Description description;
  const SdpStatus status = parse(form, text, description);
  if (status == SdpStatus::kOk) Concealer(stand_in, out).run(text);
  return status;
}

std::optional<Endpoint> endpoint_to_dial(const Media& media) {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : media.candidates) {
    if (candidate.transport != Transport::kUdp || candidate.component != kComponent) continue;
    if (!candidate.endpoint || candidate.port == 0) continue;
    if (best == nullptr || candidate.priority > best->priority) best = &candidate;
  }
  return best != nullptr ? best->endpoint : std::nullopt;
}

}  // namespace

std::string_view to_string(SdpStatus status) {
  switch (status) {
    case SdpStatus::kOk:
      return "ok";
    case SdpStatus::kNotSdp:
      return "not_sdp";
    case SdpStatus::kTooLarge:
      return "too_large";
    case SdpStatus::kBadLine:
      return "bad_line";
    case SdpStatus::kBadMedia:
      return "bad_media";
    case SdpStatus::kBadCredential:
      return "bad_credential";
  }
  return "unknown";
}

SdpStatus parse_description(std::string_view text, Description& out) {
  return parse(Form::kDescription, text, out);
}

SdpStatus parse_fragment(std::string_view text, Description& out) {
  return parse(Form::kFragment, text, out);
}

std::vector<IceSession> ice_sessions(const Description& description) {
  std::vector<IceSession> sessions;
  for (const Media& media : description.media) {
    if (!has_transport(media) || media.password.empty()) continue;
    const auto known =
        std::find_if(sessions.begin(), sessions.end(),
                     [&](const IceSession& session) { return session.ufrag == media.ufrag; });
    if (known == sessions.end()) {
      const auto section = static_cast<std::size_t>(&media - description.media.data());
      sessions.push_back({media.ufrag, media.password, section, endpoint_to_dial(media)});
    } else if (!known->endpoint) {
      known->endpoint = endpoint_to_dial(media);
    }
  }
  if (description.media.empty() && !description.ufrag.empty() && !description.password.empty()) {
    sessions.push_back({description.ufrag, description.password, 0, std::nullopt});
  }
  return sessions;
}

SdpStatus rewrite_description(std::string_view text, const PublicCandidates& candidates,
                              std::string& out) {
  return rewrite(Form::kDescription, text, candidates, out);
}

SdpStatus rewrite_fragment(std::string_view text, const PublicCandidates& candidates,
                           std::string& out) {
  return rewrite(Form::kFragment, text, candidates, out);
}

SdpStatus conceal_description(std::string_view text, const Endpoint& stand_in, std::string& out) {
  return conceal(Form::kDescription, text, stand_in, out);
}

SdpStatus conceal_fragment(std::string_view text, std::string& out) {
  return conceal(Form::kFragment, text, {}, out);
}

}  // namespace weir::sdp
