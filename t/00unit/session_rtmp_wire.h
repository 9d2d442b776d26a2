// For the tests of the RTMP session: fake crypto, an encoder of chunk streams with chosen header
// formats, an independent decoder, and the messages of usual clients and origins.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/proto/rtmp/amf0.h"
#include "common/proto/rtmp/chunk.h"
#include "common/proto/rtmp/command.h"
#include "workers/rtmp/rtmp_session.h"

namespace weir::rtmp::test {

using Bytes = std::vector<std::uint8_t>;

struct Message {
  std::uint32_t csid = 0;
  std::uint8_t type = 0;
  std::uint32_t stream_id = 0;
  std::uint32_t timestamp = 0;
  Bytes payload;
  friend bool operator==(const Message&, const Message&) = default;
};

// A whole-buffer reader, written independently of ChunkParser (always expects the repeated extended
// timestamp, as RTMP 1.0 has it). `rest` is what was left of a cut message.
struct Decoded {
  std::vector<Message> messages;
  bool valid = true;
  std::size_t rest = 0;
};
inline Decoded decode(ByteView in) {
  struct Chunk {
    std::uint32_t ts = 0, delta = 0, len = 0, msid = 0, field = 0;
    std::uint8_t type = 0;
    bool known = false, mid = false;
    Bytes data;
  };
  std::map<std::uint32_t, Chunk> streams;
  Decoded out;
  std::size_t size = 128, i = 0;
  const auto need = [&](std::size_t n) { return i + n <= in.size(); };
  while (i < in.size()) {
    const std::size_t start = i;
    const unsigned fmt = in[i] >> 6;
    std::uint32_t csid = in[i] & 63U;
    ++i;
    if (csid == 0 && need(1))
      csid = 64U + in[i++];
    else if (csid == 1 && need(2)) {
      csid = 64U + in[i] + 256U * in[i + 1];
      i += 2;
    }
    Chunk& c = streams[csid];
    const std::size_t header = fmt == 0 ? 11 : fmt == 1 ? 7 : fmt == 2 ? 3 : 0;
    if (!need(header)) {
      out.rest = in.size() - start;
      return out;
    }
    if ((c.mid && fmt != 3) || (!c.known && fmt > 1)) {
      out.valid = false;
      return out;
    }
    if (fmt <= 2) c.field = load_be24(&in[i]);
    if (fmt <= 1) {
      c.len = load_be24(&in[i + 3]);
      c.type = in[i + 6];
    }
    if (fmt == 0) c.msid = load_le32(&in[i + 7]);
    i += header;
    std::uint32_t time = c.field;
    if (c.field == 0xFFFFFF) {
      if (!need(4)) {
        out.rest = in.size() - start;
        return out;
      }
      time = load_be32(&in[i]);
      i += 4;
    }
    if (!c.mid) {
      if (fmt <= 2) c.delta = time;
      c.ts = fmt == 0 ? time : c.ts + c.delta;
      c.mid = c.known = true;
      c.data.clear();
    }
    const std::size_t n = std::min(size, c.len - c.data.size());
    if (!need(n)) {
      out.rest = in.size() - start;
      return out;
    }
    c.data.insert(c.data.end(), in.begin() + static_cast<long>(i),
                  in.begin() + static_cast<long>(i + n));
    i += n;
    if (c.data.size() < c.len) continue;
    c.mid = false;
    out.messages.push_back({csid, c.type, c.msid, c.ts, c.data});
    if (c.type == 1) size = load_be32(c.data.data());
    if (c.type == 2) streams[load_be32(c.data.data())].mid = false;
  }
  return out;
}

// Encodes messages one after another, each with the header format that the caller asks for.
class Encoder {
 public:
  Bytes out;
  std::uint32_t chunk_size = 128;

  // Appends the chunks of a message to `to`, each one an element; updates the state.
  std::vector<Bytes> chunks(const Message& m, std::uint8_t fmt) {
    ChunkState& s = states_[m.csid];
    ChunkHeaderFields f;
    f.fmt = fmt;
    f.type = m.type;
    f.csid = m.csid;
    f.stream_id = m.stream_id;
    f.time = fmt == 0 ? m.timestamp : m.timestamp - s.timestamp;
    Bytes whole;
    s = write_message(whole, f, m.payload, chunk_size, s);
    // Cut it into chunks again: first header, then each fmt 3 header.
    std::vector<Bytes> parts;
    const std::size_t tail = (m.csid < 64 ? 1U : m.csid < 320 ? 2U : 3U) + (s.extended ? 4U : 0U);
    const std::size_t count =
        m.payload.empty() ? 1 : (m.payload.size() + chunk_size - 1) / chunk_size;
    std::size_t at = whole.size() - m.payload.size() - tail * (count - 1);
    at += std::min<std::size_t>(m.payload.size(), chunk_size);
    std::size_t from = 0;
    for (;;) {
      parts.emplace_back(whole.begin() + static_cast<long>(from),
                         whole.begin() + static_cast<long>(at));
      if (at >= whole.size()) return parts;
      from = at;
      at = std::min<std::size_t>(whole.size(), at + tail + chunk_size);
    }
  }
  Encoder& add(const Message& m, std::uint8_t fmt = 0) {
    for (const Bytes& part : chunks(m, fmt)) out.insert(out.end(), part.begin(), part.end());
    if (m.type == kSetChunkSize) chunk_size = load_be32(m.payload.data());
    sent.push_back(m);
    return *this;
  }
  // The formats that can carry m on its chunk stream now.
  std::vector<std::uint8_t> formats(const Message& m) {
    const ChunkState& s = states_[m.csid];
    std::vector<std::uint8_t> all{0};
    if (!s.known || s.stream_id != m.stream_id) return all;
    all.push_back(1);
    if (s.type != m.type || s.length != m.payload.size()) return all;
    all.push_back(2);
    if (m.timestamp - s.timestamp == s.delta) all.push_back(3);
    return all;
  }
  std::vector<Message> sent;

 private:
  std::map<std::uint32_t, ChunkState> states_;
};

inline Bytes amf(const std::function<void(amf0::Writer&)>& write) {
  Bytes out;
  amf0::Writer writer(out);
  write(writer);
  return out;
}
inline Message command(Bytes payload, std::uint32_t csid = 3, std::uint32_t stream_id = 0) {
  return {csid, kCommandAmf0, stream_id, 0, std::move(payload)};
}
inline Message connect(std::string_view app, std::string_view url, double transaction = 1) {
  return command(amf([&](amf0::Writer& w) {
    w.string("connect").number(transaction).begin_object();
    w.key("app").string(app).key("type").string("nonprivate").key("flashVer").string("FMLE/3.0");
    w.key("tcUrl")
        .string(url)
        .key("fourCcList")
        .begin_strict_array(2)
        .string("hvc1")
        .string("av01");
    w.end_object();
  }));
}
inline Message named(std::string_view name, double transaction, std::string_view stream,
                     std::uint32_t csid = 3, std::uint32_t stream_id = 0) {
  return command(amf([&](amf0::Writer& w) {
                   w.string(name).number(transaction).null().string(stream);
                   if (name == "publish") w.string("live");
                 }),
                 csid, stream_id);
}
inline Message plain(std::string_view name, double transaction) {
  return command(amf([&](amf0::Writer& w) { w.string(name).number(transaction).null(); }));
}
inline Message result(double transaction, double id) {
  Bytes b;
  write_create_stream_result(b, transaction, id);
  return command(b);
}
inline Message empty_result(double transaction) {
  Bytes b;
  write_empty_result(b, transaction);
  return command(b);
}
inline Message origin_connect_result(double transaction = 1) {
  return command(amf([&](amf0::Writer& w) {
    w.string("_result").number(transaction).begin_object().key("fmsVer").string("FMS/3,0,1,123");
    w.key("capabilities").number(31).end_object().begin_object().key("level").string("status");
    w.key("code").string("NetConnection.Connect.Success").key("server").string("an origin");
    w.end_object();
  }));
}
inline Message status(std::string_view code, std::string_view level = "status",
                      std::uint32_t stream_id = 1, std::uint32_t csid = 5) {
  Bytes b;
  write_on_status(b, level, code, "words");
  return command(b, csid, stream_id);
}
inline Message control(std::uint8_t type, std::uint32_t value, std::size_t size = 4) {
  Message m{2, type, 0, 0, Bytes(size, 0)};
  store_be32(m.payload.data(), value);
  return m;
}
inline Message media(std::uint8_t type, std::uint32_t csid, std::uint32_t timestamp,
                     std::size_t size, std::uint32_t stream_id = 1) {
  Message m{csid, type, stream_id, timestamp, Bytes(size)};
  for (std::size_t i = 0; i < size; ++i) {
    m.payload[i] = static_cast<std::uint8_t>(i * 7 + timestamp + csid);
  }
  return m;
}

}  // namespace weir::rtmp::test
