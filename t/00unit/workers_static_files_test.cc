// StaticFiles: what is found below a directory, with the kernel's resolution and without.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "workers/http/static_files.h"

using weir::http::StaticFile;
using weir::http::StaticFiles;

namespace {

class Site {
 public:
  Site() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-static-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    base_ = pattern;
    std::filesystem::create_directories(root() / "sub" / "deep");
    write(root() / "a.txt", "abc");
    write(root() / "sub" / "index.html", "index");
    write(root() / "sub" / "deep" / "b.txt", "b");
    write(base_ / "secret.txt", "secret");
    std::filesystem::create_symlink("sub/deep/b.txt", root() / "inside");
    std::filesystem::create_symlink("../secret.txt", root() / "outside");
    std::filesystem::create_symlink(base_ / "secret.txt", root() / "absolute");
    std::filesystem::create_directory_symlink("..", root() / "up");
    REQUIRE(::mkfifo((root() / "fifo").c_str(), 0600) == 0);
  }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;
  ~Site() { std::filesystem::remove_all(base_); }

  std::filesystem::path root() const { return base_ / "www"; }

 private:
  static void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path) << text;
  }
  std::filesystem::path base_;
};

std::string text_of(const StaticFile& file) {
  std::string text(file.size, '\0');
  const ssize_t n = ::pread(file.fd.get(), text.data(), text.size(), 0);
  return n == static_cast<ssize_t>(text.size()) ? text : "cannot be read";
}

}  // namespace

TEST_CASE("static files below a directory") {
  const Site site;
  for (const auto resolve : {StaticFiles::Resolve::kKernel, StaticFiles::Resolve::kSteps}) {
    CAPTURE(static_cast<int>(resolve));
    const StaticFiles files(site.root().string(), resolve);
    REQUIRE(files.enabled());

    const StaticFile file = files.open("a.txt");
    REQUIRE(file.kind == StaticFile::Kind::kFile);
    CHECK(file.size == 3);
    CHECK(file.mtime_ns > 0);
    CHECK(text_of(file) == "abc");
    CHECK(text_of(files.open("sub/deep/b.txt")) == "b");

    const StaticFile index = files.open("sub/");
    CHECK(index.name == "sub/index.html");
    CHECK(text_of(index) == "index");
    CHECK(files.open("sub").kind == StaticFile::Kind::kDirectory);
    CHECK(files.open("sub").name == "sub");

    for (const char* path :
         {"", "none", "sub/none", "sub/deep", "sub/deep/", "a.txt/", "a.txt/b", "fifo", "outside",
          "absolute", "up", "up/secret.txt", "../secret.txt"}) {
      CAPTURE(path);
      CHECK(files.open(path).kind == StaticFile::Kind::kNone);
    }
  }
  CHECK(text_of(StaticFiles(site.root().string()).open("inside")) == "b");
  CHECK(StaticFiles(site.root().string(), StaticFiles::Resolve::kSteps).open("inside").kind ==
        StaticFile::Kind::kNone);
}

TEST_CASE("no directory serves nothing") {
  CHECK_FALSE(StaticFiles("").enabled());
  CHECK_FALSE(StaticFiles("/nonexistent/weir").enabled());
}
