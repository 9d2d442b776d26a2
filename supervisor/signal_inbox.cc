#include "supervisor/signal_inbox.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace weir {
namespace {

constexpr std::array kSignals = {SIGHUP,  SIGUSR1, SIGUSR2, SIGQUIT,
                                 SIGTERM, SIGINT,  SIGCHLD, SIGPIPE};

}  // namespace

Result<void> SignalInbox::set_up() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : kSignals) sigaddset(&set, number);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask", errno);
  fd_.reset(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd_) return fail_errno("cannot read signals", errno);
  return {};
}

void SignalInbox::read() {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo < pending_.size()) pending_[info.ssi_signo] = true;
  }
}

}  // namespace weir
