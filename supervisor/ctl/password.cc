#include "supervisor/ctl/password.h"

#include <crypt.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>

namespace weir::ctl {
namespace {

constexpr std::size_t kMostBytes = 256;

// While it lives the terminal shows nothing that is typed.
class Unseen {
 public:
  Unseen() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
  ~Unseen() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }

 private:
  termios before_{};
  bool changed_ = false;
};

Result<std::string> read_line(const char* prompt) {
  std::fputs(prompt, stderr);
  std::string line;
  if (!std::getline(std::cin, line)) return fail("no password was given");
  if (*prompt != '\0') std::fputs("\n", stderr);
  if (line.empty()) return fail("the password is empty");
  if (line.size() > kMostBytes) return fail("the password is longer than 256 bytes");
  return line;
}

}  // namespace

Result<std::string> hash_password(const std::string& password) {
  char salt[CRYPT_GENSALT_OUTPUT_SIZE];
  if (::crypt_gensalt_rn("$y$", 0, nullptr, 0, salt, sizeof salt) == nullptr) {
    return fail_errno("cannot make a salt", errno);
  }
  const auto data = std::make_unique<crypt_data>();
  const char* const hash = ::crypt_r(password.c_str(), salt, data.get());
  if (hash == nullptr || hash[0] == '*') return fail_errno("cannot hash the password", errno);
  return std::string(hash);
}

Result<std::string> read_password() {
  if (::isatty(STDIN_FILENO) == 0) return read_line("");
  const Unseen unseen;
  auto first = read_line("password: ");
  if (!first) return first;
  const auto second = read_line("once more: ");
  if (!second) return tl::unexpected(second.error());
  if (*first != *second) return fail("the two are not the same");
  return first;
}

}  // namespace weir::ctl
