// The session table: writer and view against a model, a full table, and what a file may hold.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/route/balance.h"
#include "ipc/boot_id.h"
#include "ipc/flow_file.h"
#include "ipc/flow_reader.h"
#include "ipc/flow_writer.h"

namespace {

using namespace weir;
using namespace weir::ipc;
using weir::route::mix;

Endpoint endpoint(std::uint32_t n) {
  Endpoint e;
  e.family = Family::kIpv4;
  e.ip[0] = 10;
  e.ip[3] = static_cast<std::uint8_t>(n % 7);
  e.port = static_cast<std::uint16_t>(1000 + n);
  return e;
}
std::string username(std::uint64_t n) {
  return "answ" + std::to_string(n) + ":offer" + std::to_string(n * 3);
}
FlowRecord rtc(std::uint64_t n) {
  FlowRecord r;
  r.session = r.group = n + 1;
  r.state = FlowState::kSignalled;
  r.origin_endpoint = r.signaller = endpoint(8000);
  r.text.set(FlowField::kUsername, username(n));
  r.text.set(FlowField::kPassword, std::string(24, 'p'));
  r.text.set(FlowField::kKey, "v/a/s" + std::to_string(n));
  return r;
}
FlowRecord connected(FlowRecord r, std::uint32_t client) {
  r.state = FlowState::kConnected;
  r.client = r.local = endpoint(client);
  r.upstream_local = endpoint(5);
  return r;
}
FlowRecord srt(std::uint64_t n, std::uint32_t client) {
  FlowRecord r = connected(rtc(n), client);
  r.kind = FlowKind::kSrt;
  r.text.set(FlowField::kUsername, "");
  r.text.set(FlowField::kPassword, "");
  r.srt_listener_id = static_cast<std::uint32_t>(500 + n);
  r.srt_caller_id = static_cast<std::uint32_t>(900 + n);
  return r;
}
FlowWriter make(std::uint32_t capacity) {
  auto made = FlowWriter::make(capacity);
  REQUIRE(made.has_value());
  return std::move(*made);
}
FlowView map(const FlowWriter& writer) {
  auto mapped = FlowView::map(writer.reader_fd());
  REQUIRE(mapped.has_value());
  return std::move(*mapped);
}

struct Model {
  std::map<std::uint32_t, FlowRecord> flows;  // by slot
};

void compare(const FlowWriter& writer, const FlowView& view, const Model& model) {
  std::uint32_t used = 0;
  for (const auto& kind : writer.header().used) used += kind[0].load() + kind[1].load();
  CHECK(used == model.flows.size());
  for (const auto& [slot, record] : model.flows) {
    FlowRecord out;
    const auto text = record.get(FlowField::kUsername);
    if (!text.empty()) {
      const auto hit = view.find_username(text, out);
      REQUIRE(hit.has_value());
      CHECK(hit->flow.slot == slot);
      CHECK(writer.find_username(text) == slot);
    }
    const auto second = record.get(FlowField::kSecondUsername);
    if (!second.empty()) {
      const auto hit = view.find_username(second, out);
      REQUIRE(hit.has_value());
      CHECK((hit->flow.slot == slot && hit->which == 1));
    }
    CHECK(view.read_slot(slot, out));
    CHECK(out.session == record.session);
    if (record.client.empty()) continue;
    if (record.kind == FlowKind::kRtc) {
      CHECK(view.find_client(record.client, out)->flow.slot == slot);
    } else {
      CHECK(view.find_srt(record.client, record.srt_listener_id, out)->flow.slot == slot);
      CHECK(view.find_srt_caller(record.client, record.srt_caller_id, out)->flow.slot == slot);
      CHECK_FALSE(view.find_client(record.client, out).has_value());
    }
  }
}

}  // namespace

TEST_CASE("the table does what a model of it does") {
  constexpr std::uint32_t kCapacity = 64;
  FlowWriter writer = make(kCapacity);
  const FlowView view = map(writer);
  Model model;
  std::uint64_t random = 5;
  for (std::uint32_t step = 0; step < 20000; ++step) {
    random = mix(random);
    const auto pick = static_cast<std::uint32_t>((random >> 33) % kCapacity);
    const std::uint32_t fresh_client = 100 + step % 50000;
    switch (random % 5) {
      case 0:
      case 1: {
        const FlowRecord record = random % 3 == 0 ? srt(step, fresh_client) : rtc(step);
        const std::uint32_t slot = writer.add(record);
        CHECK((slot == kNoSlot) == (model.flows.size() == kCapacity));
        if (slot != kNoSlot) {
          CHECK(model.flows.count(slot) == 0);
          model.flows[slot] = writer.get(slot);
        }
        break;
      }
      case 2:
        if (model.flows.count(pick) != 0) {
          const FlowRecord last = model.flows[pick];
          writer.erase(pick);
          model.flows.erase(pick);
          FlowRecord out;
          CHECK_FALSE(view.read({pick, last.generation}, out));
          CHECK(writer.find({pick, last.generation}) == kNoSlot);
          CHECK_FALSE(view.find_username(last.get(FlowField::kUsername), out).has_value());
          if (!last.client.empty()) CHECK_FALSE(view.find_client(last.client, out).has_value());
        }
        break;
      case 3:
        if (const auto found = model.flows.find(pick); found != model.flows.end()) {
          const FlowRecord before = found->second;
          found->second = connected(before, fresh_client);
          writer.put(pick, found->second);
          FlowRecord out;
          if (!before.client.empty()) CHECK_FALSE(view.find_client(before.client, out).has_value());
        }
        break;
      default:
        if (const auto found = model.flows.find(pick);
            found != model.flows.end() && found->second.kind == FlowKind::kRtc) {
          found->second.text.set(FlowField::kSecondUsername, "again" + std::to_string(step) + ":x");
          writer.put(pick, found->second);
        }
        break;
    }
    if (step % 97 == 0) compare(writer, view, model);
  }
  while (!model.flows.empty()) {
    writer.erase(model.flows.begin()->first);
    model.flows.erase(model.flows.begin());
  }
  compare(writer, view, model);
}

TEST_CASE("a slot that is used again is another flow") {
  FlowWriter writer = make(4);
  const FlowView view = map(writer);
  const std::uint32_t slot = writer.add(rtc(1));
  const FlowRef first{slot, writer.get(slot).generation};
  writer.erase(slot);
  REQUIRE(writer.add(rtc(2)) == slot);
  FlowRecord out;
  CHECK_FALSE(view.read(first, out));
  CHECK(view.read({slot, first.generation + 1}, out));
}

TEST_CASE("workers get the table for reading only") {
  FlowWriter writer = make(4);
  CHECK(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer.reader_fd(), 0) ==
        MAP_FAILED);
}

TEST_CASE("a view refuses what is no table") {
  CHECK_FALSE(FlowView::map(-1).has_value());
  auto fd = make_memfd("not-a-table", 65536);
  REQUIRE(fd.has_value());
  CHECK_FALSE(FlowView::map(fd->get()).has_value());
}

namespace {

struct Folder {
  Folder() { REQUIRE(::mkdtemp(path) != nullptr); }
  ~Folder() {
    for (const char* name : {"/s", "/s.new", "/s.lock"})
      ::unlink((path + std::string(name)).c_str());
    ::rmdir(path);
  }
  std::string file() const { return path + std::string("/s"); }
  char path[32] = "/tmp/weir-flows-XXXXXX";
};

SavedFlows saved_in(int fd) {
  const auto size = file_size(fd);
  REQUIRE(size.has_value());
  const auto mapping = Mapping::map(fd, 0, *size, Mapping::Access::kRead);
  REQUIRE(mapping.has_value());
  auto read = read_flows({static_cast<const std::uint8_t*>(mapping->data()), *size}, read_boot_id(),
                         monotonic_ms(), 60000);
  REQUIRE(read.has_value());
  return std::move(*read);
}

}  // namespace

TEST_CASE("sessions come back from a file, in their slots") {
  Folder folder;
  {
    auto file = FlowFile::lock(folder.file());
    REQUIRE(file.has_value());
    CHECK(FlowFile::lock(folder.file()).error().sys_errno == EWOULDBLOCK);
    auto none = file->open_old();
    REQUIRE(none.has_value());
    CHECK_FALSE(*none);
    auto fd = file->create();
    REQUIRE(fd.has_value());
    auto writer = FlowWriter::make_in_file(1000, std::move(*fd));
    REQUIRE(writer.has_value());
    for (std::uint64_t n = 0; n < 200; ++n) REQUIRE(writer->add(rtc(n)) == n);
    writer->put(7, connected(writer->get(7), 77));
    for (std::uint32_t slot = 0; slot < 150; ++slot) {
      if (slot != 7) writer->erase(slot);
    }
    REQUIRE(file->publish().has_value());
  }
  auto file = FlowFile::lock(folder.file());
  REQUIRE(file.has_value());
  auto old = file->open_old();
  REQUIRE((old.has_value() && *old));
  const SavedFlows saved = saved_in(old->get());
  CHECK(saved.flows.size() == 51);
  CHECK(saved.bad == 0);
  FlowWriter writer = make(160);
  const FlowView view = map(writer);
  std::size_t restored = 0;
  for (const SavedFlow& flow : saved.flows) {
    if (writer.restore(flow.slot, flow.record)) ++restored;
  }
  CHECK(restored == 11);  // slots 7 and 150 to 159
  CHECK_FALSE(writer.restore(7, saved.flows[0].record));
  FlowRecord out;
  CHECK(view.find_client(endpoint(77), out)->flow.slot == 7);
  CHECK(view.read({155, 1}, out));
  for (int i = 0; i < 149; ++i) CHECK(writer.add(rtc(1000 + static_cast<unsigned>(i))) != kNoSlot);
  CHECK(writer.add(rtc(9999)) == kNoSlot);
}

TEST_CASE("a file that others may write is not believed") {
  Folder folder;
  auto file = FlowFile::lock(folder.file());
  REQUIRE(file.has_value());
  REQUIRE(file->create().has_value());
  REQUIRE(file->publish().has_value());
  CHECK(file->open_old().has_value());
  REQUIRE(::chmod(folder.file().c_str(), 0660) == 0);
  CHECK_FALSE(file->open_old().has_value());
  ::unlink(folder.file().c_str());
  REQUIRE(::symlink("/etc/passwd", folder.file().c_str()) == 0);
  CHECK_FALSE(file->open_old().has_value());
}

TEST_CASE("whatever a session file holds, only plausible records come out") {
  FlowWriter writer = make(16);
  for (std::uint64_t n = 0; n < 12; ++n) {
    writer.add(n % 3 == 0 ? srt(n, 40 + static_cast<std::uint32_t>(n)) : rtc(n));
  }
  const auto size = file_size(writer.reader_fd());
  REQUIRE(size.has_value());
  const auto mapping = Mapping::map(writer.reader_fd(), 0, *size, Mapping::Access::kRead);
  REQUIRE(mapping.has_value());
  std::vector<std::uint64_t> store((*size + 7) / 8);
  auto* bytes = reinterpret_cast<std::uint8_t*>(store.data());  // bytes of whole words
  const std::uint64_t now = monotonic_ms();
  const std::string boot = read_boot_id();
  const auto load = [&] { std::memcpy(bytes, mapping->data(), *size); };
  load();
  const auto whole = read_flows({bytes, *size}, boot, now, 60000);
  REQUIRE(whole.has_value());
  CHECK(whole->flows.size() == 12);
  CHECK_FALSE(read_flows({bytes, *size}, "another boot", now, 60000).has_value());
  CHECK_FALSE(read_flows({bytes, *size}, boot, now + 60001, 60000).has_value());
  CHECK_FALSE(read_flows({bytes, *size}, boot, 0, 60000).has_value());
  for (const std::size_t cut : {std::size_t{0}, std::size_t{100}, sizeof(FlowHeader), *size - 1}) {
    CHECK_FALSE(read_flows({bytes, cut}, boot, now, 60000).has_value());
  }
  const std::uint64_t flows_at = writer.header().flows_offset;
  std::uint64_t random = 77;
  for (int round = 0; round < 4000; ++round) {
    load();
    for (int i = 0; i < 12; ++i) {
      random = mix(random);
      // Half of them in the header, where most is refused as a whole, half in the records.
      const std::uint64_t at =
          round % 2 == 0 ? random % sizeof(FlowHeader) : flows_at + random % (*size - flows_at);
      bytes[at] = static_cast<std::uint8_t>(random >> 40);
    }
    const auto out = read_flows({bytes, *size}, boot, now, 60000);
    if (!out) continue;
    FlowWriter target = make(8);
    for (const SavedFlow& flow : out->flows) {
      CHECK(plausible(flow.record, now));
      target.restore(flow.slot, flow.record);
    }
  }
}

TEST_CASE("credentials are bounded as RFC 8839 has them") {
  const std::string password(22, 'p');
  CHECK(valid_credentials("abcd:efgh", password));
  CHECK(valid_credentials(std::string(256, 'a') + ":" + std::string(256, 'b'), password));
  CHECK_FALSE(valid_credentials("abc:efgh", password));
  CHECK_FALSE(valid_credentials("abcdefgh", password));
  CHECK_FALSE(valid_credentials("abcd:ef\ngh", password));
  CHECK_FALSE(valid_credentials(std::string(257, 'a') + ":efgh", password));
  CHECK_FALSE(valid_credentials("abcd:efgh", std::string(21, 'p')));
  CHECK_FALSE(valid_credentials("abcd:efgh", std::string(257, 'p')));
}
