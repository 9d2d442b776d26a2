#include "common/config/options.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "common/base/access_list.h"
#include "common/base/host_list.h"
#include "common/base/network.h"
#include "common/config/nearest.h"
#include "common/config/values.h"

namespace weir::config {
namespace {

// Adapters between a member and its text, named after the types of options.def.

std::string print_number(OptionType type, std::int64_t value) {
  if (type == OptionType::Duration) return print_duration(static_cast<std::uint64_t>(value));
  if (type == OptionType::Size) return print_size(static_cast<std::uint64_t>(value));
  return std::to_string(value);
}

Result<std::int64_t> in_range(const OptionRow& row, std::int64_t value) {
  if (value < row.min) {
    return fail(print_number(row.type, value) + " is below the minimum " +
                print_number(row.type, row.min));
  }
  if (value > row.max) {
    return fail(print_number(row.type, value) + " is above the maximum " +
                print_number(row.type, row.max));
  }
  return value;
}

Result<void> set_Flag(bool& member, const OptionRow&, std::string_view text) {
  return parse_flag(text).map([&](bool value) { member = value; });
}
Result<void> set_Int(std::int64_t& member, const OptionRow& row, std::string_view text) {
  auto value = parse_int(text).and_then([&](std::int64_t v) { return in_range(row, v); });
  return value.map([&](std::int64_t v) { member = v; });
}
Result<void> set_unsigned(std::uint64_t& member, const OptionRow& row,
                          const Result<std::uint64_t>& parsed) {
  if (!parsed) return tl::unexpected<Error>(parsed.error());
  // Both parsers stay below 2^62, so the value fits.
  return in_range(row, static_cast<std::int64_t>(*parsed)).map([&](std::int64_t v) {
    member = static_cast<std::uint64_t>(v);
  });
}
[[maybe_unused]] Result<void> set_Size(std::uint64_t& member, const OptionRow& row,
                                       std::string_view text) {
  return set_unsigned(member, row, parse_size(text));
}
Result<void> set_Duration(std::uint64_t& member, const OptionRow& row, std::string_view text) {
  return set_unsigned(member, row, parse_duration(text));
}
Result<void> set_Text(std::string& member, const OptionRow& row, std::string_view text) {
  if (text.size() > static_cast<std::size_t>(row.max)) {
    return fail(std::to_string(text.size()) + " bytes is above the maximum of " +
                std::to_string(row.max));
  }
  const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F;
  });
  if (!clean) return fail("the value has a control character in it");
  member = text;
  return {};
}
Result<void> set_Secret(std::string& member, const OptionRow& row, std::string_view text) {
  return set_Text(member, row, text);
}
Result<void> set_Networks(std::string& member, const OptionRow& row, std::string_view text) {
  const auto networks = parse_networks(text);
  if (!networks) return tl::unexpected<Error>(networks.error());
  return set_Text(member, row, text);
}
Result<void> set_Access(std::string& member, const OptionRow& row, std::string_view text) {
  const auto rules = parse_access_list(text);
  if (!rules) return tl::unexpected<Error>(rules.error());
  return set_Text(member, row, text);
}
Result<void> set_Hosts(std::string& member, const OptionRow& row, std::string_view text) {
  const auto hosts = parse_host_list(text);
  if (!hosts) return tl::unexpected<Error>(hosts.error());
  return set_Text(member, row, text);
}
Result<void> set_Enum(std::string& member, const OptionRow& row, std::string_view text) {
  const auto words = split_words(row.words);
  if (std::find(words.begin(), words.end(), text) == words.end()) {
    return fail(show(text) + " is none of " + std::string(row.words) + suggest(text, words));
  }
  member = text;
  return {};
}
// What has no address by default may be given none.
Result<void> set_Listen(Endpoint& member, const OptionRow& row, std::string_view text) {
  if (text.empty() && row.initial.empty()) {
    member = Endpoint{};
    return {};
  }
  return parse_listen(text).map([&](const Endpoint& value) { member = value; });
}

std::string get_Flag(bool value) {
  return print_flag(value);
}
std::string get_Int(std::int64_t value) {
  return std::to_string(value);
}
[[maybe_unused]] std::string get_Size(std::uint64_t value) {
  return print_size(value);
}
std::string get_Duration(std::uint64_t value) {
  return print_duration(value);
}
std::string get_Text(const std::string& value) {
  return value;
}
std::string get_Secret(const std::string& value) {
  return value;
}
std::string get_Networks(const std::string& value) {
  return value;
}
std::string get_Access(const std::string& value) {
  return value;
}
std::string get_Hosts(const std::string& value) {
  return value;
}
std::string get_Enum(const std::string& value) {
  return value;
}
std::string get_Listen(const Endpoint& value) {
  return value.empty() ? std::string() : to_string(value);
}

// `min` is a number or, for an Enum, the list of words.
template <typename Min>
constexpr std::int64_t min_number(Min min) {
  if constexpr (std::is_integral_v<Min>) {
    return min;
  } else {
    return 0;
  }
}
template <typename Min>
constexpr std::string_view min_words(Min min) {
  if constexpr (std::is_integral_v<Min>) {
    return {};
  } else {
    return min;
  }
}

// The struct that a section's options stand in.
template <typename C>
C& at_top(C& config) {
  return config;
}
#define OPTION(section, name, Type, initial, min, max, unit, reload, env, doc)
#define SECTION(section, Struct, doc) \
  template <typename C>               \
  auto& at_##section(C& config) {     \
    return config.section;            \
  }
#include "common/config/options.def"

constexpr std::string_view section_name(std::string_view name) {
  return name == "top" ? std::string_view() : name;
}

const OptionRow kOptions[] = {
#define OPTION(section, name, Type, initial, min, max, unit, reload, env, doc)                    \
  {section_name(#section),                                                                        \
   #name,                                                                                         \
   OptionType::Type,                                                                              \
   initial,                                                                                       \
   min_number(min),                                                                               \
   max,                                                                                           \
   min_words(min),                                                                                \
   unit,                                                                                          \
   ReloadClass::reload,                                                                           \
   env,                                                                                           \
   doc,                                                                                           \
   [](Config& c, const OptionRow& row, std::string_view text) {                                   \
     return set_##Type(at_##section(c).name, row, text);                                          \
   },                                                                                             \
   [](const Config& c) { return get_##Type(at_##section(c).name); },                              \
   [](const Config& a, const Config& b) { return at_##section(a).name == at_##section(b).name; }, \
   [](const Config& from, Config& to) { at_##section(to).name = at_##section(from).name; }},
#include "common/config/options.def"
};

constexpr SectionRow kSections[] = {
#define OPTION(section, name, Type, initial, min, max, unit, reload, env, doc)
#define SECTION(section, Struct, doc) {#section, doc},
#include "common/config/options.def"
};

}  // namespace

std::string OptionRow::path() const {
  if (section.empty()) return std::string(name);
  return std::string(section).append(".").append(name);
}

std::span<const OptionRow> option_rows() {
  return kOptions;
}
std::span<const SectionRow> section_rows() {
  return kSections;
}

const OptionRow* find_option(std::string_view section, std::string_view name) {
  for (const OptionRow& row : kOptions) {
    if (row.section == section && row.name == name) return &row;
  }
  return nullptr;
}

bool is_section(std::string_view name) {
  return std::any_of(std::begin(kSections), std::end(kSections),
                     [&](const SectionRow& row) { return row.name == name; });
}

std::string range_text(const OptionRow& row) {
  switch (row.type) {
    case OptionType::Int:
    case OptionType::Size:
    case OptionType::Duration:
      return print_number(row.type, row.min) + " to " + print_number(row.type, row.max);
    case OptionType::Text:
    case OptionType::Secret:
    case OptionType::Networks:
    case OptionType::Access:
    case OptionType::Hosts:
      return "up to " + std::to_string(row.max) + " bytes";
    case OptionType::Enum: {
      std::string words;
      for (const std::string_view word : split_words(row.words)) {
        words.append(words.empty() ? "" : ", ").append(word);
      }
      return words;
    }
    case OptionType::Flag:
      return "on, off";
    case OptionType::Listen:
      return row.initial.empty() ? "port, ip:port, [v6]:port, empty" : "port, ip:port, [v6]:port";
  }
  return {};
}

std::string_view type_text(OptionType type) {
  switch (type) {
    case OptionType::Flag:
      return "flag";
    case OptionType::Int:
      return "number";
    case OptionType::Size:
      return "size";
    case OptionType::Duration:
      return "duration";
    case OptionType::Text:
      return "text";
    case OptionType::Secret:
      return "secret";
    case OptionType::Networks:
      return "networks";
    case OptionType::Access:
      return "rules";
    case OptionType::Hosts:
      return "hosts";
    case OptionType::Enum:
      return "word";
    case OptionType::Listen:
      return "address";
  }
  return {};
}

}  // namespace weir::config

namespace weir {

namespace {

bool same_certificates(const Config& a, const Config& b) {
  return std::equal(a.certificates.begin(), a.certificates.end(), b.certificates.begin(),
                    b.certificates.end(),
                    [](const CertificateConfig& one, const CertificateConfig& other) {
                      return one.tls.name == other.tls.name && one.file == other.file &&
                             one.key == other.key && one.ocsp == other.ocsp;
                    });
}

}  // namespace

bool operator==(const Config& a, const Config& b) {
  const auto rows = config::option_rows();
  return a.origins == b.origins && a.origins_from == b.origins_from && a.aliases == b.aliases &&
         same_certificates(a, b) &&
         std::all_of(rows.begin(), rows.end(), [&](const auto& row) { return row.same(a, b); });
}

}  // namespace weir
