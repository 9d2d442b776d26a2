// Every limit that stands between a hostile peer and our memory, in one place (docs/THREATS.md).
// Limits that an operator may want to change are options (common/config/options.def); these are
// ceilings that the options cannot pass. Each is checked before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::limits {

// Stream key (common/route/stream_key.h), bytes of `vhost/app/stream` after unescaping.
inline constexpr std::size_t kStreamKeyBytes = 511;

// Alias rules (common/base/alias_rule.h): operators write them, clients' paths are matched with
// them.
inline constexpr std::size_t kAliasRules = 64;       // those of presets among them
inline constexpr std::size_t kAliasTargets = 8;      // of one rule
inline constexpr std::size_t kAliasTextBytes = 255;  // of a pattern or target
inline constexpr std::size_t kAliasNameBytes = 31;   // of a capture or parameter
inline constexpr std::size_t kAliasCaptures = 8;     // of one rule
inline constexpr std::size_t kAliasChoices = 16;     // words of one choice
inline constexpr std::size_t kAliasSegments = 32;    // of a path; a longer one matches no rule

// Tables of the state segment (max_origins, max_streams).
inline constexpr std::uint32_t kMaxOrigins = 65535;
inline constexpr std::uint32_t kMaxStreams = 4194304;

// Registration (System API).
inline constexpr std::size_t kRegisterBodyBytes = 64 * 1024;
inline constexpr std::size_t kOriginTextBytes = 63;  // server, service, pid, device_id, name
inline constexpr std::uint32_t kOriginWeight = 1000;
inline constexpr std::size_t kEndpointsPerKind = 4;  // rtmp[], http[], api[], srt[], rtc[]

// One file of a certificate, key or OCSP response.
inline constexpr std::size_t kCertificateBytes = 256 * 1024;
inline constexpr std::size_t kAuthoritiesBytes = 4 * 1024 * 1024;  // tls.origin_ca

// RTMP, before the relay starts. Command messages are small; a peer that sends more is hostile.
inline constexpr std::size_t kRtmpChunkStreams = 64;            // live chunk streams a direction
inline constexpr std::uint32_t kRtmpChunkSizeMax = 0x7FFFFFFF;  // RTMP 1.0, 5.4.1
inline constexpr std::size_t kRtmpCommandBytes = 64 * 1024;     // one message that we interpret
inline constexpr std::size_t kRtmpPreambleBytes = 128 * 1024;   // client bytes kept for the replay
inline constexpr std::size_t kAmfDepth = 16;
inline constexpr std::size_t kAmfItems = 1024;  // values in one message

// WebRTC: credentials as RFC 8839 (section 5.4) allows them, and what one session may keep of all
// its texts (ipc/flow_table.h); credentials, key and resource that do not fit together are refused.
inline constexpr std::size_t kIceUfragMin = 4;
inline constexpr std::size_t kIceUfragMax = 256;
inline constexpr std::size_t kIcePasswordMin = 22;
inline constexpr std::size_t kIcePasswordMax = 256;
inline constexpr std::size_t kIceUsernameBytes = 2 * kIceUfragMax + 1;  // answer:offer
inline constexpr std::size_t kFlowResourceBytes = 512;
inline constexpr std::size_t kFlowParamBytes = 512;
inline constexpr std::size_t kFlowTextBytes = 824;
inline constexpr std::size_t kAbandonedFlows = 4096;  // whose origins are still to be told

// WebRTC signalling: a session description or fragment. One frame of ICE over TCP (RFC 4571).
inline constexpr std::size_t kSdpBytes = 64 * 1024;
inline constexpr std::size_t kSdpLines = 4096;
inline constexpr std::size_t kSdpMedia = 128;
inline constexpr std::size_t kSdpBundled = 1024;    // mids in all groups
inline constexpr std::size_t kSdpCandidates = 512;  // in all sections
inline constexpr std::size_t kSdpPublic = 32;       // public addresses, UDP and TCP each
inline constexpr std::size_t kRtcTcpFrameBytes = 8 * 1024;
// Body of a signalling request, and of the origin's answer: an SDP, maybe within JSON.
inline constexpr std::size_t kSignalBodyBytes = 64 * 1024;

// SRT: a handshake with all its extensions fits into one Ethernet frame.
inline constexpr std::size_t kSrtHandshakeBytes = 1500;
// A conclusion as it goes to an origin: what fits into a frame behind the headers of IPv6 and UDP.
inline constexpr std::size_t kSrtConclusionBytes = 1452;
inline constexpr std::size_t kSrtStreamIdBytes = 512;  // draft-sharabayko-srt-01, 3.2.1.3

// Hooks: calls to the operator's own server, of one worker.
inline constexpr std::size_t kHookCalls = 8192;              // that wait for an answer
inline constexpr std::size_t kHookAnswerBytes = 64 * 1024;   // body of one answer
inline constexpr std::size_t kHookCacheEntries = 64 * 1024;  // some 100 bytes each

// Resolver: host names that a worker follows, addresses of one, questions at once.
inline constexpr std::size_t kResolverNames = 4096;
inline constexpr std::size_t kResolverAddresses = 1024;  // of each family
inline constexpr std::size_t kResolverQueries = 64;
inline constexpr std::size_t kNamedSets = 64;      // origins_from blocks
inline constexpr std::size_t kHookAddresses = 32;  // of a hook's host that one call tries

// UDP relay: what waits while the master answers a claim; more is dropped.
inline constexpr std::size_t kUdpClaims = 4096;                // a worker
inline constexpr std::size_t kUdpParkedBytes = 128 * 1024;     // a claim
inline constexpr std::size_t kUdpParkedBytesInAll = 16 << 20;  // a worker

// ICE over TCP: what may wait for a slow client, and connections of a worker.
inline constexpr std::size_t kRtcTcpQueueBytes = 512 * 1024;
inline constexpr std::size_t kRtcTcpConnections = 65536;

// IPC: one message between a worker and the master.
inline constexpr std::size_t kIpcMessageBytes = 4096;

}  // namespace weir::limits
