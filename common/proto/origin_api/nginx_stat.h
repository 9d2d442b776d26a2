// NginxStat: the streams that nginx's rtmp module shows as published (`rtmp_stat`,
// ngx_rtmp_stat_module.c; nginx-http-flv-module writes the same), read while the answer comes, in
// pieces of any size. Pure; some 2 kB whatever the answer is.
//
//   <rtmp> … <pid>123</pid> … <server><application><name>live</name><live>
//     <stream><name>cam</name> … <bw_in>2000000</bw_in> …
//       <client>…</client>…                            one a player and publisher, with rtmp_stat
//       all <meta><video>…<codec>H264</codec>…</video><audio>…<codec>AAC</codec>…</audio></meta>
//       <nclients>1</nclients><publishing/><active/></stream>…
//
// Streams without <publishing/> have players only and are passed over. It has no vhosts. Bytes that
// are not printable ASCII are shown as blanks there, so a name with a blank is nobody's name.
// Owner: one answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/origin_api/stream_row.h"
#include "common/proto/origin_api/xml_reader.h"

namespace weir::origin_api {

class NginxStat {
 public:
  // Takes bytes from the front of `in`.
  RowStep next(ByteView& in);
  const StreamRow& row() const { return row_; }

  // The answer was whole and one of this API.
  bool complete() const { return reader_.complete(); }
  // It is one of this API as far as it has come.
  bool begun() const { return begun_; }
  // Of the worker process that answered: each knows its own streams only. 0: not said.
  std::uint64_t pid() const { return pid_; }
  // Published ones without a name of a possible length, or with one that can't be told.
  std::size_t skipped() const { return skipped_; }
  std::string_view error() const { return error_; }

 private:
  enum class Node : std::uint8_t {
    kOther,
    kDocument,
    kRtmp,
    kServer,
    kApplication,
    kLive,
    kStream,
    kPublishing,
    kMeta,
    kVideo,
    kAudio,
    // These have a text that matters.
    kPid,
    kAppName,
    kName,
    kBandwidth,
    kVideoCodec,
    kAudioCodec,
  };
  static constexpr Node kFirstText = Node::kPid;
  static Node child_of(Node parent, std::string_view name);
  Node node() const { return path_[reader_.depth()]; }
  bool open();
  bool close(Node closed);
  bool finish_row();

  XmlReader reader_;
  std::array<Node, XmlReader::kDepthMax + 1> path_ = {Node::kDocument};
  bool begun_ = false;
  bool publishing_ = false;
  std::uint64_t pid_ = 0;
  std::size_t skipped_ = 0;
  std::string_view error_;
  NameText text_;  // of the element that is read
  NameText name_, app_;
  CodecText video_, audio_;
  StreamRow row_;
};

}  // namespace weir::origin_api
