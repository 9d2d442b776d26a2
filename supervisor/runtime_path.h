// Where the files of a running instance are, for options whose value may be `off`, `auto` or a
// path: in systemd's folder for the service, else in /run/weir when the process is root, else
// nowhere.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// "" for nowhere. `runtime_directory`: $RUNTIME_DIRECTORY; null: not set.
std::string runtime_path(const std::string& option, std::string_view file,
                         const char* runtime_directory, bool root);
// The same for this process.
std::string runtime_path(const std::string& option, std::string_view file);
// Whether the path is in /run/weir, which is made when it is needed.
bool is_in_runtime_folder(const std::string& path);
// Makes /run/weir if the path is in there.
void make_runtime_folder(const std::string& path);

}  // namespace weir
