// Texts of the reference that options.def has no place for, in Markdown's simplest form:
// paragraphs, and `code`. docs/OPTIONS.md and weir.conf(5) both have them. Internal to
// common/config.
#pragma once

#include <string_view>

namespace weir::config {

inline constexpr std::string_view kValuesText =
    R"(A value comes from the built-in default, then from the file, then from the environment variable,
which wins; an empty variable counts as unset. `weir -t` checks all of it and names file, line and
column of each fault; `weir -T` also prints the effective values and where each came from.

Class: `reload` options take effect at SIGHUP, for new sessions; `restart` options need a new master.
)";

inline constexpr std::string_view kSyntaxExample =
    R"(name value;                 # a comment goes to the end of the line
block { name value; }
include conf.d/*.conf;      # relative to this file's folder; allowed inside blocks too
name "text in quotes";      # escapes: \" \\ \$ \n \t
name 'taken as it is';
name ${VARIABLE};           # from the environment; also $VARIABLE; $$ is a dollar sign
)";

inline constexpr std::string_view kSyntaxText =
    R"(A flag is `on` or `off`. A duration is a number with a unit (`ms` `s` `m` `h` `d`), or several as in
`1m30s`; only 0 needs none. A size is in bytes or in `k` `m` `g` (powers of 1024). An address to
listen on is `port` (all IPv4 addresses), `ip:port` or `[v6]:port`. A block may stand more than once;
an option may not.
)";

inline constexpr std::string_view kOriginText = R"(
An origin that needs no registration; as many blocks as there are such origins. Names are unique, of
up to 63 letters, digits, dots, `-` and `_`. An endpoint is `port`, `ip:port`, `proto://ip:port` or
`proto://:port`, IPv6 in brackets; at least one of any kind must be given. All take effect at reload.

)";

inline constexpr std::string_view kOriginsFromText = R"(
Each address of a DNS name, such as that of a headless Kubernetes Service or of a Compose service, is
an origin of its own, with the endpoints of the block; up to 64 blocks. Origins are added and drained
as the name's answer changes; docs/STREAMS.md, "Named origins", says how. PORT is where they speak
RTMP. `origins_from NAME:PORT;` without a block is one whose origins speak nothing else. The options of
origin blocks have the same meaning here; all take effect at reload.

)";

inline constexpr std::string_view kAliasText = R"(
Ordered rules that give what viewers ask for and what publishers send one stream key; the first that
fits counts. Several blocks are one, in their order; 64 rules at most, those of presets among them.
`weir -T` prints presets as their rules, `weir -k URL` tells which rule an address meets. All take
effect at reload. docs/STREAMS.md has more.

)";

inline constexpr std::string_view kCertificateText = R"(
A certificate of the TLS listeners; as many blocks as there are certificates. Each serves the DNS
names that stand in it, wildcards too; the first also serves clients that ask for no name or for one
that no certificate has. The files are read by the master at start and at SIGHUP: a bad one leaves
the old configuration in use. docs/TLS.md has more.

)";

}  // namespace weir::config
