#include "workers/srt/srt_session.h"

#include <algorithm>

#include "common/proto/srt/conclusion.h"
#include "common/proto/srt/cookie.h"
#include "common/route/srt_key.h"

namespace weir::srt {
namespace {

constexpr std::uint32_t kHsv4 = 4;
constexpr std::uint32_t kHsv5 = 5;
constexpr std::uint16_t kDatagramSocket = 2;  // socket type of a version 4 handshake

// The same handshake, with the word no. A rejection has no extensions.
ByteView write_rejection(MutableBytes out, const Handshake& request, Reject code,
                         const Endpoint& client) {
  Handshake answer = request;
  answer.header.destination = request.socket_id;
  answer.type = static_cast<HandshakeType>(code);
  return write_handshake(out, answer, client);
}

Admission answer_induction(const DoormanOptions& options, const Handshake& request,
                           const Endpoint& client, std::uint64_t now_ms, MutableBytes buffer) {
  Handshake answer = request;
  answer.header.destination = request.socket_id;
  answer.version = kHsv5;
  answer.encryption = options.encryption;
  answer.extension = kInductionMagic;
  answer.cookie = make_cookie(options.seed, client, request.socket_id, now_ms);
  return {Entry::kAnswered, Failure::kNone, request.socket_id,
          write_handshake(buffer, answer, client)};
}

}  // namespace

std::string_view to_string(Failure failure) {
  switch (failure) {
    case Failure::kNone:
      return "none";
    case Failure::kMalformed:
      return "malformed";
    case Failure::kBadCookie:
      return "bad_cookie";
    case Failure::kHsv4:
      return "hsv4";
    case Failure::kRendezvous:
      return "rendezvous";
    case Failure::kBadStreamId:
      return "bad_stream_id";
    case Failure::kBadMode:
      return "bad_mode";
    case Failure::kBadStreamKey:
      return "bad_stream_key";
    case Failure::kBadConclusion:
      return "bad_conclusion";
    case Failure::kOriginSilent:
      return "origin_silent";
    case Failure::kOriginUnreachable:
      return "origin_unreachable";
    case Failure::kOriginMalformed:
      return "origin_malformed";
    case Failure::kOriginOld:
      return "origin_hsv4";
    case Failure::kOriginRejected:
      return "origin_rejected";
    case Failure::kRefused:
      return "refused";
  }
  return "unknown";
}

std::string_view to_string(SessionState state) {
  switch (state) {
    case SessionState::kRouteWanted:
      return "route_wanted";
    case SessionState::kInduction:
      return "induction";
    case SessionState::kConclusion:
      return "conclusion";
    case SessionState::kEstablished:
      return "established";
    case SessionState::kOriginFailed:
      return "origin_failed";
    case SessionState::kRejected:
      return "rejected";
  }
  return "unknown";
}

Denial denial_of(std::uint32_t reject_code) {
  switch (reject_code) {
    case 2404:  // SRT_REJX_NOTFOUND
    case 2410:  // SRT_REJX_GONE
      return Denial::kNotFound;
    case 1000:  // SRT_REJ_UNKNOWN: of an application that gives none (libsrt's listener callback)
    case 1002:  // SRT_REJ_PEER: the same
    case 2000:  // SRT_REJX_FALLBACK: the same
    case 2403:  // SRT_REJX_FORBIDDEN
    case 2409:  // SRT_REJX_CONFLICT
      return Denial::kUnsaid;
    case 1003:  // SRT_REJ_RESOURCE
    case 1005:  // SRT_REJ_BACKLOG
    case 2402:  // SRT_REJX_OVERLOAD
    case 2500:  // SRT_REJX_ISE
    case 2502:  // SRT_REJX_GW
    case 2503:  // SRT_REJX_DOWN
      return Denial::kOverloaded;
    default:
      break;
  }
  return Denial::kNone;
}

Admission admit(const DoormanOptions& options, ByteView datagram, const Endpoint& client,
                std::uint64_t now_ms, MutableBytes buffer) {
  Handshake request;
  if (parse_handshake(datagram, request) != HandshakeError::kNone || request.socket_id == 0) {
    return {Entry::kIgnored, Failure::kMalformed, 0, {}};
  }
  const auto refuse = [&](Failure failure, Reject code) {
    return Admission{Entry::kAnswered, failure, request.socket_id,
                     write_rejection(buffer, request, code, client)};
  };
  switch (request.type) {
    case HandshakeType::kInduction:
      // An answer of another listener, sent here by somebody who wants two of them to talk forever.
      if (request.header.destination != 0) return {Entry::kIgnored, Failure::kMalformed, 0, {}};
      return answer_induction(options, request, client, now_ms, buffer);
    case HandshakeType::kWaveAHand:
      return refuse(Failure::kRendezvous, Reject::kUnimplemented);
    case HandshakeType::kConclusion:
      break;
    case HandshakeType::kAgreement:
      return {Entry::kIgnored, Failure::kMalformed, 0, {}};
  }
  if (request.type != HandshakeType::kConclusion) {  // a rejection, or nothing at all
    return {Entry::kIgnored, Failure::kMalformed, 0, {}};
  }
  if (!cookie_ok(options.seed, client, request.socket_id, request.cookie, now_ms)) {
    return {Entry::kIgnored, Failure::kBadCookie, request.socket_id, {}};
  }
  if (request.version < kHsv5) return refuse(Failure::kHsv4, Reject::kVersion);
  return {Entry::kConclusion, Failure::kNone, request.socket_id, {}, request.initial_sequence};
}

Session::Session(const SessionOptions& options, ByteView conclusion, const Endpoint& client,
                 std::uint64_t now_ms)
    : options_(options),
      client_(client),
      asked_(conclusion.begin(), conclusion.end()),
      conclusion_at_ms_(now_ms),
      started_ms_(now_ms) {
  if (parse_handshake(asked_, caller_) != HandshakeError::kNone) {
    refuse(Failure::kMalformed, {}, Reject::kRogue, now_ms);
    return;
  }
  if (const auto fault = check_conclusion(caller_)) {
    stream_id_of(caller_, stream_id_);  // for the log
    refuse(Failure::kBadConclusion, to_string(*fault), fault->code, now_ms);
  } else {
    read_stream_id(now_ms);
  }
  caller_.extensions = {};
}

void Session::read_stream_id(std::uint64_t now_ms) {
  StreamIdError error = StreamIdError::kTooLong;
  StreamId id;
  if (stream_id_of(caller_, stream_id_)) {
    error = parse_stream_id(stream_id_, options_.stream_id, id);
  }
  if (error != StreamIdError::kNone) {
    refuse(Failure::kBadStreamId, to_string(error), Reject::kBadRequest, now_ms);
    return;
  }
  mode_ = id.mode;
  user_ = id.user;
  key_ = route::from_srt(id);
  if (mode_ == Mode::kUnknown) {
    refuse(Failure::kBadMode, {}, Reject::kBadMode, now_ms);
  } else if (!key_.ok()) {
    refuse(Failure::kBadStreamKey, route::to_string(key_.error), Reject::kBadRequest, now_ms);
  } else {
    write_stream_id(id, now_ms);
    if (options_.aliases != nullptr) key_ = options_.aliases->of_key(std::move(key_));
    if (!key_.ok() && state_ != SessionState::kRejected) {
      refuse(Failure::kBadStreamKey, route::to_string(key_.error), Reject::kBadRequest, now_ms);
    }
  }
}

void Session::write_stream_id(StreamId& id, std::uint64_t now_ms) {
  std::string text;
  StreamIdError error = route::origin_stream_id(key_, id, text);
  if (error == StreamIdError::kNone && !with_stream_id(asked_, text, conclusion_)) {
    error = StreamIdError::kTooLong;
  }
  if (error != StreamIdError::kNone) {
    refuse(Failure::kBadStreamId, to_string(error), Reject::kBadRequest, now_ms);
  }
  parameters_ = std::move(id.rest);
}

void Session::clear_output() {
  to_client_.clear();
  to_origin_.clear();
}

// What the client's clock would say now. Receivers take the sender's start from the arrival of a
// handshake and its time stamp, so the time that it waited here must not be missing.
std::uint32_t Session::client_time(std::uint64_t now_ms) const {
  return caller_.header.timestamp + static_cast<std::uint32_t>((now_ms - conclusion_at_ms_) * 1000);
}

void Session::on_client_conclusion(ByteView datagram, std::uint64_t now_ms) {
  if (state_ == SessionState::kEstablished || state_ == SessionState::kRejected) {
    answer_client(now_ms);
    return;
  }
  // A later copy has the better time stamp. Another content under the same id is not a repetition.
  const bool same =
      datagram.size() == asked_.size() &&
      std::equal(datagram.begin() + kHeaderBytes, datagram.end(), asked_.begin() + kHeaderBytes);
  if (!same) return;
  Header header;
  if (!parse_header(datagram, header)) return;
  caller_.header = header;
  conclusion_at_ms_ = now_ms;
}

void Session::start_origin(const Endpoint& origin, std::uint64_t now_ms) {
  origin_ = origin;
  failure_ = Failure::kNone;
  failure_detail_.clear();
  origin_encryption_.reset();
  reject_code_ = 0;
  rejection_.clear();
  state_ = SessionState::kInduction;
  give_up_at_ms_ = now_ms + options_.origin_timeout_ms;
  send_induction(now_ms);
}

void Session::send_induction(std::uint64_t now_ms) {
  Handshake request = caller_;
  request.header.timestamp = client_time(now_ms);
  request.header.destination = 0;
  request.version = kHsv4;
  request.encryption = 0;
  request.extension = kDatagramSocket;
  request.type = HandshakeType::kInduction;
  request.cookie = 0;
  to_origin_.resize(kHandshakeBytes);
  write_handshake(to_origin_, request, origin_);
  resend_at_ms_ = now_ms + options_.resend_ms;
}

void Session::send_conclusion(std::uint64_t now_ms) {
  to_origin_ = conclusion_;
  set_timestamp(to_origin_, client_time(now_ms));
  set_destination(to_origin_, 0);  // what listeners in use expect of a connection request
  set_cookie(to_origin_, origin_cookie_);
  set_peer_address(to_origin_, origin_);
  resend_at_ms_ = now_ms + options_.resend_ms;
}

void Session::on_origin_packet(ByteView datagram, std::uint64_t now_ms) {
  if (state_ != SessionState::kInduction && state_ != SessionState::kConclusion) return;
  Handshake answer;
  const HandshakeError error = parse_handshake(datagram, answer);
  // libsrt before 1.3.1 answers to 0; the socket has one origin and one connection alone.
  const std::uint32_t to = answer.header.destination;
  const bool for_us = to == caller_.socket_id || (to == 0 && error == HandshakeError::kNone);
  if (error == HandshakeError::kNotHandshake || !for_us) {
    return;  // media that overtook the answer, or not for this connection
  }
  if (error != HandshakeError::kNone) {
    fail_origin(Failure::kOriginMalformed, now_ms);
  } else if (answer.rejection()) {
    take_rejection(datagram, answer, now_ms);
  } else if (state_ == SessionState::kInduction) {
    take_origin_induction(answer, now_ms);
  } else {
    take_origin_conclusion(datagram, answer, now_ms);
  }
}

void Session::take_rejection(ByteView datagram, const Handshake& answer, std::uint64_t now_ms) {
  reject_code_ = static_cast<std::uint32_t>(answer.type);
  failure_ = Failure::kOriginRejected;
  rejection_.assign(datagram.begin(), datagram.end());
  to_origin_.clear();
  if (searches_ && denial_of(reject_code_) != Denial::kNone) {
    state_ = SessionState::kOriginFailed;
  } else {
    pass_rejection(now_ms);
  }
}

void Session::pass_rejection(std::uint64_t now_ms) {
  state_ = SessionState::kRejected;
  keep_answer(rejection_, now_ms);
  Bytes().swap(rejection_);
}

void Session::take_origin_induction(const Handshake& answer, std::uint64_t now_ms) {
  if (answer.type != HandshakeType::kInduction) return;
  if (answer.version < kHsv5 || answer.extension != kInductionMagic) {
    fail_origin(Failure::kOriginOld, now_ms);
    return;
  }
  origin_encryption_ = answer.encryption;
  give_up_at_ms_ = started_ms_ + options_.handshake_timeout_ms;
  origin_cookie_ = answer.cookie;
  state_ = SessionState::kConclusion;
  send_conclusion(now_ms);
}

void Session::take_origin_conclusion(ByteView datagram, const Handshake& answer,
                                     std::uint64_t now_ms) {
  if (answer.type != HandshakeType::kConclusion) return;  // an induction that was repeated
  if (answer.version < kHsv5 || answer.socket_id == 0) {
    fail_origin(Failure::kOriginMalformed, now_ms);
    return;
  }
  listener_id_ = answer.socket_id;
  state_ = SessionState::kEstablished;
  keep_answer(datagram, now_ms);
}

// Passes the origin's last word on, in Weir's name: the client sees its own cookie and address.
void Session::keep_answer(ByteView datagram, std::uint64_t now_ms) {
  answer_.assign(datagram.begin(), datagram.end());
  set_destination(answer_, caller_.socket_id);
  set_cookie(answer_, caller_.cookie);
  set_peer_address(answer_, client_);
  answer_at_ms_ = now_ms;
  Bytes().swap(asked_);
  Bytes().swap(conclusion_);
  to_client_ = answer_;
}

void Session::answer_client(std::uint64_t now_ms) {
  Header header;
  if (!parse_header(answer_, header)) return;
  to_client_ = answer_;
  set_timestamp(to_client_,
                header.timestamp + static_cast<std::uint32_t>((now_ms - answer_at_ms_) * 1000));
}

void Session::fail_origin(Failure failure, std::uint64_t now_ms) {
  to_origin_.clear();
  if (origin_encryption_) {  // it has spoken
    refuse(failure, {}, Reject::kGateway, now_ms);
    return;
  }
  failure_ = failure;
  state_ = SessionState::kOriginFailed;
}

void Session::on_origin_unreachable(std::uint64_t now_ms) {
  if (state_ == SessionState::kInduction || state_ == SessionState::kConclusion) {
    fail_origin(Failure::kOriginUnreachable, now_ms);
  }
}

void Session::refuse(Failure failure, std::string_view detail, Reject code, std::uint64_t now_ms) {
  failure_ = failure;
  failure_detail_ = detail;
  reject_code_ = static_cast<std::uint32_t>(code);
  state_ = SessionState::kRejected;
  std::uint8_t buffer[kHandshakeBytes];
  keep_answer(write_rejection(buffer, caller_, code, client_), now_ms);
}

void Session::reject(Reject code, std::uint64_t now_ms) {
  const Failure why = failure_ == Failure::kNone ? Failure::kRefused : failure_;
  to_origin_.clear();
  refuse(why, std::string(failure_detail_), code, now_ms);
}

void Session::on_time(std::uint64_t now_ms) {
  const bool waiting = state_ == SessionState::kInduction || state_ == SessionState::kConclusion;
  if (!waiting) return;
  if (now_ms >= give_up_at_ms_) {
    fail_origin(Failure::kOriginSilent, now_ms);
  } else if (now_ms >= resend_at_ms_) {
    state_ == SessionState::kInduction ? send_induction(now_ms) : send_conclusion(now_ms);
  }
}

std::optional<std::uint64_t> Session::wake_at() const {
  const bool waiting = state_ == SessionState::kInduction || state_ == SessionState::kConclusion;
  if (!waiting) return std::nullopt;
  return std::min(resend_at_ms_, give_up_at_ms_);
}

}  // namespace weir::srt
