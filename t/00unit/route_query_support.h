// How origins read a query, written apart from Weir's own reading: models for property tests and
// fuzz targets. Owner: the test.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir::model {

// SRS 7 (SrsHttpUri, srs_parse_query_string): parted at `=`, `,`, `&&`, `&` and `;` alike, names
// and values in turn, nothing unescaped, of two values the last.
inline std::map<std::string, std::string> srs_query(std::string_view text) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::string_view("=,&;").find(text[i]) == std::string_view::npos) {
      parts.back() += text[i];
      continue;
    }
    if (text.substr(i, 2) == "&&") ++i;
    parts.emplace_back();
  }
  if (parts.back().empty()) parts.pop_back();
  std::map<std::string, std::string> out;
  for (std::size_t i = 0; i < parts.size(); i += 2) {
    out[parts[i]] = i + 1 < parts.size() ? parts[i + 1] : "";
  }
  return out;
}

// nginx (ngx_http_arg): the first `name=` behind `&`, in any case, up to the next `&`.
inline std::string nginx_arg(std::string_view query, std::string_view name) {
  const auto low = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  for (std::size_t i = 0; i + name.size() < query.size(); ++i) {
    bool same = (i == 0 || query[i - 1] == '&') && query[i + name.size()] == '=';
    for (std::size_t j = 0; same && j < name.size(); ++j) same = low(query[i + j]) == name[j];
    if (!same) continue;
    const std::size_t from = i + name.size() + 1;
    return std::string(query.substr(from, query.find('&', from) - from));
  }
  return {};
}

}  // namespace weir::model
