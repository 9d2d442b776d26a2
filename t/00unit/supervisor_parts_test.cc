// Command line, pid file, listen sockets.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "common/net/tcp.h"
#include "supervisor/command_line.h"
#include "supervisor/listeners.h"
#include "supervisor/pid_file.h"

namespace {

using weir::Action;
using weir::ipc::WorkerKind;

weir::Result<weir::CommandLine> parse(std::initializer_list<const char*> words) {
  std::vector<const char*> argv = {"weir"};
  for (const char* word : words) argv.push_back(word);
  return weir::parse_command_line(static_cast<int>(argv.size()), argv.data());
}

struct Folder {
  Folder() {
    char name[] = "/tmp/weir-unit-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() {
    ::unlink((path + "/pid").c_str());
    ::unlink((path + "/pid.oldbin").c_str());
    ::rmdir(path.c_str());
  }
  std::string path;
};

weir::Endpoint loopback(std::uint16_t port) {
  weir::Endpoint e = *weir::parse_ip("127.0.0.1");
  e.port = port;
  return e;
}

// Sockets at a free port of the kernel's choice, under the address that the plan looks for.
weir::ListenSockets open_some(unsigned count) {
  auto first = weir::open_listener(WorkerKind::kRtmp, loopback(0));
  REQUIRE(first.has_value());
  (*first)->address = weir::net::local_address((*first)->fd.get());
  auto all = weir::plan_listeners({*first}, WorkerKind::kRtmp, (*first)->address, count);
  REQUIRE(all.has_value());
  return *all;
}

}  // namespace

TEST_CASE("command line") {
  CHECK(parse({})->action == Action::kServe);
  CHECK(parse({"-c", "x.conf"})->config == "x.conf");
  CHECK(parse({"-t"})->action == Action::kTest);
  CHECK(parse({"-T", "-t"})->action == Action::kPrintConfig);
  CHECK(parse({"-s", "reload"})->signal == SIGHUP);
  CHECK(parse({"-s", "stop"})->signal == SIGTERM);
  CHECK(parse({"-s", "quit"})->signal == SIGQUIT);
  CHECK(parse({"-s", "reopen"})->signal == SIGUSR1);
  CHECK(parse({"-s", "upgrade"})->signal == SIGUSR2);
  CHECK(parse({"-s", "dump"})->action == Action::kDump);
  CHECK(parse({"-v"})->action == Action::kVersion);
  CHECK(parse({"-h"})->action == Action::kHelp);
  CHECK(parse({"--print-options-md"})->action == Action::kOptionsMarkdown);
  CHECK_FALSE(parse({"-s"}).has_value());
  CHECK_FALSE(parse({"-c"}).has_value());
  CHECK_FALSE(parse({"-s", "fly"}).has_value());
  CHECK_FALSE(parse({"-x"}).has_value());
  CHECK_FALSE(parse({"weir.conf"}).has_value());
}

TEST_CASE("a pid file belongs to one live master") {
  const Folder folder;
  const std::string path = folder.path + "/pid";
  CHECK_FALSE(weir::read_pid_file(path).has_value());
  {
    auto mine = weir::PidFile::create(path);
    REQUIRE(mine.has_value());
    CHECK(weir::read_pid_file(path).value() == ::getpid());
    const auto second = weir::PidFile::create(path);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().sys_errno == EWOULDBLOCK);
    CHECK(second.error().text.find(std::to_string(::getpid())) != std::string::npos);
  }
  CHECK_FALSE(weir::read_pid_file(path).has_value());  // left over: nobody holds the lock
  auto again = weir::PidFile::create(path);
  REQUIRE(again.has_value());
  REQUIRE(again->rename(path + ".oldbin").has_value());
  auto young = weir::PidFile::create(path);
  REQUIRE(young.has_value());
  again->remove();
  CHECK(::access(path.c_str(), F_OK) == 0);
  young->remove();
  CHECK(::access(path.c_str(), F_OK) != 0);
  CHECK_FALSE(weir::PidFile::create(folder.path + "/none/pid").has_value());
}

TEST_CASE("a plan takes over every socket of an address and opens what is missing") {
  const weir::ListenSockets two = open_some(2);
  const weir::Endpoint address = two[0]->address;
  const auto grown = weir::plan_listeners(two, WorkerKind::kRtmp, address, 4);
  REQUIRE(grown.has_value());
  REQUIRE(grown->size() == 4);
  CHECK((*grown)[0] == two[0]);
  CHECK((*grown)[1] == two[1]);
  const auto shrunk = weir::plan_listeners(*grown, WorkerKind::kRtmp, address, 3);
  REQUIRE(shrunk.has_value());
  CHECK(shrunk->size() == 4);
  std::multiset<int> shared;
  for (unsigned slot = 0; slot < 3; ++slot) {
    const auto mine = weir::share_of_slot(*shrunk, slot, 3);
    CHECK_FALSE(mine.empty());
    for (const auto& socket : mine) shared.insert(socket->fd.get());
  }
  CHECK(shared.size() == 4);
  CHECK(std::set<int>(shared.begin(), shared.end()).size() == 4);
  const auto other = weir::plan_listeners(*grown, WorkerKind::kControl, address, 1);
  REQUIRE(other.has_value());
  CHECK((*other)[0] != two[0]);
}

TEST_CASE("connections in the queue of a removed slot are accepted by another") {
  weir::ListenSockets two = open_some(2);
  std::vector<weir::UniqueFd> clients;
  for (int i = 0; i < 40; ++i) {
    auto client = weir::net::start_connect(two[0]->address, {});
    REQUIRE(client.has_value());
    clients.push_back(std::move(*client));
  }
  const auto plan = weir::plan_listeners(two, WorkerKind::kRtmp, two[0]->address, 1);
  two.clear();
  int accepted = 0;
  for (const auto& socket : weir::share_of_slot(*plan, 0, 1)) {
    for (;;) {
      const weir::UniqueFd peer(::accept4(socket->fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) break;
      ++accepted;
    }
  }
  CHECK(accepted == 40);
}

TEST_CASE("[::] takes clients of both families, another IPv6 address only its own") {
  for (const bool any : {true, false}) {
    weir::Endpoint address = *weir::parse_ip(any ? "::" : "::1");
    auto listener = weir::open_listener(WorkerKind::kRtmp, address, weir::Transport::kTcp);
    if (!listener) return;  // a machine without IPv6
    weir::Endpoint to = *weir::parse_ip("127.0.0.1");
    to.port = weir::net::local_address((*listener)->fd.get()).port;
    auto client = weir::net::start_connect(to, {});
    REQUIRE(client.has_value());
    pollfd wait{client->get(), POLLOUT, 0};
    REQUIRE(::poll(&wait, 1, 5000) == 1);
    CHECK((weir::net::take_socket_error(client->get()) == 0) == any);
  }
}

TEST_CASE("an address that somebody else listens on is refused by name") {
  const weir::ListenSockets mine = open_some(1);
  const auto taken = weir::check_free(mine[0]->address);
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().sys_errno == EADDRINUSE);
  CHECK(taken.error().text.find(to_string(mine[0]->address)) != std::string::npos);
  CHECK(weir::check_free(loopback(0)).has_value());
}
