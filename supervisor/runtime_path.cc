#include "supervisor/runtime_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace weir {
namespace {

constexpr const char* kRootFolder = "/run/weir";

}  // namespace

std::string runtime_path(const std::string& option, std::string_view file,
                         const char* runtime_directory, bool root) {
  if (option == "off") return "";
  if (option != "auto") return option;
  std::string folder = root ? kRootFolder : "";
  if (runtime_directory != nullptr && *runtime_directory != '\0') {
    const std::string list = runtime_directory;  // systemd separates several with colons
    folder = list.substr(0, list.find(':'));
  }
  return folder.empty() ? "" : folder.append("/").append(file);
}

std::string runtime_path(const std::string& option, std::string_view file) {
  return runtime_path(option, file, std::getenv("RUNTIME_DIRECTORY"), ::geteuid() == 0);
}

bool is_in_runtime_folder(const std::string& path) {
  return path.starts_with(std::string(kRootFolder) + "/");
}

void make_runtime_folder(const std::string& path) {
  if (is_in_runtime_folder(path)) ::mkdir(kRootFolder, 0755);
}

}  // namespace weir
