// Sockets of rtmp_load and http_load: an epoll set of connections, and bytes that wait until a
// socket takes them. What they say is the tool's.
//
// Owner: t/90bench. TcpSockets owns its connections; one that is closed is dead at once and freed
// at the end of the turn. Errors: open_listener() and dial() say false; a connection that breaks is
// closed as failed.
#pragma once

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "t/90bench/load_conn.h"

namespace weir::load {

class TcpSockets {
 public:
  explicit TcpSockets(const std::string& address)
      : address_(parse_address(address, address_size_)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  virtual ~TcpSockets() {
    for (auto& conn : conns_)
      if (conn) ::close(conn->fd);
    if (listen_ >= 0) ::close(listen_);
    ::close(epoll_);
  }
  TcpSockets(const TcpSockets&) = delete;
  TcpSockets& operator=(const TcpSockets&) = delete;

 protected:
  virtual std::unique_ptr<TcpConn> make_conn() = 0;
  // It has been accepted, or dialed; its fields are set.
  virtual void on_made(TcpConn& conn) = 0;
  // A client's connect() has succeeded. False: it is not ready to be used yet.
  virtual bool finish_connect(TcpConn&) { return true; }
  // A client may send now.
  virtual void on_open(TcpConn& conn) = 0;
  virtual void on_readable(TcpConn& conn) = 0;
  virtual void on_close(TcpConn& conn, bool failed) = 0;
  // As send(): -1 with EAGAIN when it would block.
  virtual ssize_t transmit(TcpConn& conn, std::string_view bytes) {
    return ::send(conn.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  bool open_listener() {
    listen_ = ::socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listen_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listen_, address(), address_size_) != 0 || ::listen(listen_, 65535) != 0) {
      std::perror("listen");
      return false;
    }
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, listen_, &event) == 0;
  }
  bool dial() {
    const int fd = ::socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    if (::connect(fd, address(), address_size_) != 0 && errno != EINPROGRESS) {
      ::close(fd);
      return false;
    }
    TcpConn& conn = adopt(fd);
    conn.connecting = true;
    on_made(conn);
    watch(conn, true);
    return true;
  }
  void send(TcpConn& conn, std::string_view bytes) {
    constexpr std::size_t kQueueMax = 4U << 20;
    if (conn.dead) return;
    if (conn.queue.empty() && conn.file.empty()) {
      const ssize_t sent = transmit(conn, bytes);
      if (sent < 0 && errno != EAGAIN) return close(conn, true);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    if (bytes.empty()) return;
    if (conn.queue.size() + bytes.size() > kQueueMax) {
      ++conn.totals->slow;
      return close(conn, true);
    }
    conn.queue.append(bytes);
    watch(conn, true);
  }
  // What waits, then the file.
  void flush(TcpConn& conn) {
    std::string_view rest = conn.queue;
    if (!transmit_all(conn, rest)) return close(conn, true);
    conn.queue.erase(0, conn.queue.size() - rest.size());
    if (conn.queue.empty()) {
      std::string().swap(conn.queue);
      if (!transmit_all(conn, conn.file)) return close(conn, true);
    }
    watch(conn, !conn.queue.empty() || !conn.file.empty());
  }
  void watch(TcpConn& conn, bool write) {
    if (conn.want_write == write) return;
    conn.want_write = write;
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP | (write ? std::uint32_t{EPOLLOUT} : 0U),
                      .data = {.ptr = &conn}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, conn.fd, &event);
  }
  void close(TcpConn& conn, bool failed) {
    if (conn.dead) return;
    conn.dead = true;
    on_close(conn, failed);
    epoll_ctl(epoll_, EPOLL_CTL_DEL, conn.fd, nullptr);
    dead_.push_back(&conn);
  }
  // Serves what is ready; waits for it until then, but not for more than 0.1 s.
  void poll(std::int64_t until) {
    const std::int64_t wait = std::clamp<std::int64_t>(until - now_ns(), 0, kSecond / 10);
    const timespec timeout{.tv_sec = 0, .tv_nsec = wait};
    std::array<epoll_event, 512> events;
    const int n =
        epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr)
        accept_all();
      else
        on_event(*static_cast<TcpConn*>(event.data.ptr), event.events);
    }
  }
  void reap() {
    for (const TcpConn* conn : dead_) {
      const int fd = conn->fd;
      conns_[static_cast<std::size_t>(fd)].reset();
      ::close(fd);
    }
    dead_.clear();
  }
  // By descriptor; null where there is none.
  const std::vector<std::unique_ptr<TcpConn>>& conns() const { return conns_; }

 private:
  void accept_all() {
    for (int fd; (fd = ::accept4(listen_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      TcpConn& conn = adopt(fd);
      conn.server = true;
      on_made(conn);
    }
  }
  TcpConn& adopt(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto slot = static_cast<std::size_t>(fd);
    if (conns_.size() <= slot) conns_.resize(slot + 1);
    conns_[slot] = make_conn();
    TcpConn& conn = *conns_[slot];
    conn.fd = fd;
    conn.started = now_ns();
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.ptr = &conn}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    return conn;
  }
  // The socket API takes every address family through this one pointer type.
  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }
  // Shortens `rest` by what went out. False: the connection is broken.
  bool transmit_all(TcpConn& conn, std::string_view& rest) {
    while (!rest.empty()) {
      const ssize_t sent = transmit(conn, rest);
      if (sent < 0) return errno == EAGAIN;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void on_event(TcpConn& conn, std::uint32_t events) {
    if (conn.dead) return;
    if (conn.connecting) {
      if (!on_connected(conn)) return;
    } else if ((events & EPOLLOUT) != 0) {
      flush(conn);
    }
    if (!conn.dead && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0)
      on_readable(conn);
  }
  bool on_connected(TcpConn& conn) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(conn.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      close(conn, true);
      return false;
    }
    if (!finish_connect(conn)) return false;
    conn.connecting = false;
    watch(conn, false);
    on_open(conn);
    return !conn.dead;
  }

  socklen_t address_size_ = 0;
  const sockaddr_storage address_;
  int epoll_ = -1, listen_ = -1;
  std::vector<std::unique_ptr<TcpConn>> conns_;
  std::vector<TcpConn*> dead_;
};

}  // namespace weir::load
