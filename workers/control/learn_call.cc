#include "workers/control/learn_call.h"

#include <ctime>
#include <utility>

namespace weir::control {
namespace {

using Step = http::StreamedResponse::Step;

// Read in one turn of the event loop; the next one goes on.
constexpr std::size_t kTurnBytes = 512 * 1024;
constexpr unsigned kOk = 200;
constexpr unsigned kUnauthorized = 401;
constexpr unsigned kForbiddenStatus = 403;

std::string request_text(const LearnQuestion& question) {
  return "GET " + question.path + " HTTP/1.1\r\nHost: " + to_string(question.target.endpoint) +
         "\r\nUser-Agent: weir-learn\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n";
}

}  // namespace

std::uint64_t thread_cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

LearnCall::LearnCall(event_base* base, OriginConnect& connect, LearnQuestion question,
                     MutableBytes buffer, OnRow on_row, OnEnd on_end)
    : base_(base),
      connect_(connect),
      question_(std::move(question)),
      buffer_(buffer),
      on_row_(std::move(on_row)),
      on_end_(std::move(on_end)),
      response_(http::Method::kGet) {
  if (question_.api == ipc::LearnApi::kNginxRtmp) reader_.emplace<origin_api::NginxStat>();
}

void LearnCall::start() {
  const std::uint64_t begun = thread_cpu_ns();
  const bool open =
      after(connect_.start(side_, question_.target, [this](int fd) { return watch(fd); }));
  result_.cpu_ns += thread_cpu_ns() - begun;
  if (!open) finish();
}

void LearnCall::time_out() {
  end(LearnEnd::kTimeout, open_ ? "no whole answer in time" : "no connection in time");
  finish();
}

bool LearnCall::watch(int fd) {
  event_.reset(event_new(
      base_, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
      [](evutil_socket_t, short what, void* self) {
        // As if the other side had closed: what came with its end is then read to the end.
        static_cast<LearnCall*>(self)->on_event(((what & EV_READ) != 0 ? EPOLLIN : 0U) |
                                                ((what & EV_WRITE) != 0 ? EPOLLOUT : 0U) |
                                                EPOLLRDHUP);
      },
      this));
  return event_ && event_add(event_.get(), nullptr) == 0;
}

// `this` may be gone afterwards.
void LearnCall::on_event(std::uint32_t events) {
  const std::uint64_t begun = thread_cpu_ns();
  side_.note(events);
  const bool open = go_on();
  result_.cpu_ns += thread_cpu_ns() - begun;
  if (!open) finish();
}

// `this` may be gone afterwards.
void LearnCall::finish() {
  event_.reset();
  side_ = Side{};
  const OnEnd on_end = std::move(on_end_);
  const LearnResult result = result_;
  on_end(result);
}

bool LearnCall::end(LearnEnd end, std::string_view why) {
  result_.end = end;
  result_.why = why;
  return false;
}

bool LearnCall::go_on() {
  return open_ ? exchange() : after(connect_.go_on(side_, question_.target));
}

bool LearnCall::after(const ConnectStep& step) {
  switch (step.state) {
    case ConnectStep::State::kWaiting:
      return true;
    case ConnectStep::State::kFailed:
      if (step.outcome == ipc::DialOutcome::kOk) return end(LearnEnd::kNoVerdict);
      return end(LearnEnd::kUnreachable, step.why);
    case ConnectStep::State::kOpen:
      break;
  }
  open_ = true;
  side_.out.append(request_text(question_));
  return exchange();
}

bool LearnCall::exchange() {
  std::size_t moved = 0;
  if (side_.flush(moved) == IoStatus::kEnded) side_.readable = true;  // it may have answered before
  std::size_t left = kTurnBytes;
  while (side_.readable) {
    ssize_t n = 0;
    const IoStatus status = side_.read(buffer_, n);
    if (status == IoStatus::kBlocked) break;
    if (status == IoStatus::kEnded) {
      if (n == 0 && response_.on_close() == Step::kEnd) return end_of_body();
      return end(response_.has_head() ? LearnEnd::kBroken : LearnEnd::kUnreachable,
                 "closed without a whole answer");
    }
    const auto read = static_cast<std::size_t>(n);
    if (!take(ByteView(buffer_).first(read))) return false;
    if (read >= left) {
      event_active(event_.get(), EV_READ, 0);
      break;
    }
    left -= read;
  }
  return true;
}

bool LearnCall::take(ByteView bytes) {
  for (;;) {
    ByteView data;
    switch (response_.next(bytes, data)) {
      case Step::kNeedMore:
        return true;
      case Step::kInvalid:
        return end(response_.has_head() ? LearnEnd::kBroken : LearnEnd::kUnreachable,
                   response_.error());
      case Step::kEnd:
        return end_of_body();
      case Step::kHead:
        if (!take_head()) return false;
        break;
      case Step::kData:
        if (!take_body(data)) return false;
        break;
    }
  }
}

bool LearnCall::take_head() {
  const http::ResponseHead& head = response_.head();
  result_.status = head.status;
  if (head.status == kUnauthorized || head.status == kForbiddenStatus) {
    return end(LearnEnd::kForbidden);
  }
  if (head.status != kOk) return end(LearnEnd::kStatus);
  if (head.body.framing == http::Framing::kLength && head.body.length > question_.body_max) {
    return end(LearnEnd::kTooLarge);
  }
  return true;
}

bool LearnCall::take_body(ByteView data) {
  result_.bytes += data.size();
  if (result_.bytes > question_.body_max) return end(LearnEnd::kTooLarge);
  return std::visit(
      [&](auto& reader) {
        for (;;) {
          switch (reader.next(data)) {
            case origin_api::RowStep::kRow:
              on_row_(reader.row());
              break;
            case origin_api::RowStep::kNeedMore:
              return true;
            case origin_api::RowStep::kInvalid:
              return end(reader.begun() ? LearnEnd::kBroken : LearnEnd::kOtherApi, reader.error());
          }
        }
      },
      reader_);
}

bool LearnCall::end_of_body() {
  if (const auto* srs = std::get_if<origin_api::SrsStreams>(&reader_)) result_.rows = srs->rows();
  if (const auto* nginx = std::get_if<origin_api::NginxStat>(&reader_)) result_.pid = nginx->pid();
  return std::visit(
      [this](const auto& reader) {
        result_.skipped = reader.skipped();
        if (reader.complete()) return end(LearnEnd::kWhole);
        return end(reader.begun() ? LearnEnd::kBroken : LearnEnd::kOtherApi, "it is not whole");
      },
      reader_);
}

}  // namespace weir::control
