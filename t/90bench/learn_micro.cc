// What it costs to read the APIs of origins: time a row of a published stream, whole answers of 500
// rows as SRS 7 and nginx-rtmp 1.2 write them, in pieces of 64 kB.
#include <benchmark/benchmark.h>

#include <string>

#include "common/proto/origin_api/nginx_stat.h"
#include "common/proto/origin_api/srs_streams.h"
#include "common/route/stream_key.h"

namespace {

using namespace weir;

constexpr int kRows = 500;
constexpr std::size_t kPiece = 64 * 1024;

std::string srs_answer() {
  std::string out =
      R"({"code":0,"server":"vid-7b8269q","service":"588n5720","pid":"10813","streams":[)";
  for (int i = 0; i < kRows; ++i) {
    const std::string name = "cam" + std::to_string(i);
    if (i > 0) out += ',';
    out +=
        R"({"id":"vid-2483818","name":")" + name +
        R"(","vhost":"vid-a4c5302","app":"live","tcUrl":"rtmp://127.0.0.1:1935/live","url":"/live/)" +
        name +
        R"(","live_ms":1795768125131,"clients":1,"frames":123456,"send_bytes":1234567,)"
        R"("recv_bytes":123456789,"kbps":{"recv_30s":2345,"send_30s":123},"publish":{"active":true,)"
        R"("cid":"r8o5a296"},"video":{"codec":"H264","profile":"High","level":"3.2","width":768,)"
        R"("height":320},"audio":{"codec":"AAC","sample_rate":44100,"channel":2,"profile":"LC"}})";
  }
  return out + "]}";
}

std::string nginx_answer() {
  std::string out =
      "<rtmp>\r\n<pid>1</pid>\r\n<server>\r\n<application>\r\n<name>live</name>\r\n<live>\r\n";
  for (int i = 0; i < kRows; ++i) {
    out +=
        "<stream>\r\n<name>cam" + std::to_string(i) +
        "</name>\r\n<time>3611</time><bw_in>2345678</bw_in>\r\n<bytes_in>115734</bytes_in>\r\n"
        "<bw_out>0</bw_out>\r\n<bytes_out>115684</bytes_out>\r\n<bw_audio>0</bw_audio>\r\n"
        "<bw_video>0</bw_video>\r\n<client><id>3</id><address>127.0.0.1</address><time>3787</time>"
        "<flashver>FMLE/3.0 (compatible; "
        "Lavf59.27</flashver><dropped>0</dropped><avsync>-21</avsync>"
        "<timestamp>3600</timestamp><publishing/><active/></client>\r\n<meta><video><width>768</"
        "width>"
        "<height>320</height><frame_rate>25</frame_rate><codec>H264</codec><profile>High</profile>"
        "<compat>0</compat><level>3.2</level></video><audio><codec>AAC</codec><profile>LC</profile>"
        "<channels>2</channels><sample_rate>44100</sample_rate></audio></meta>\r\n"
        "<nclients>1</nclients>\r\n<publishing/>\r\n<active/>\r\n</stream>\r\n";
  }
  return out + "</live>\r\n</application>\r\n</server>\r\n</rtmp>\r\n";
}

template <typename Reader>
void read_answer(benchmark::State& state, const std::string& answer) {
  std::size_t rows = 0;
  for (auto _ : state) {
    Reader reader;
    for (std::size_t at = 0; at < answer.size(); at += kPiece) {
      ByteView in = as_bytes(std::string_view(answer).substr(at, kPiece));
      while (reader.next(in) == origin_api::RowStep::kRow) {
        const auto key = route::from_names(reader.row().vhost, reader.row().app, reader.row().name);
        benchmark::DoNotOptimize(key.text.data());
        ++rows;
      }
    }
    if (!reader.complete()) state.SkipWithError("not whole");
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(answer.size()));
}

void srs(benchmark::State& state) {
  read_answer<origin_api::SrsStreams>(state, srs_answer());
}
void nginx_rtmp(benchmark::State& state) {
  read_answer<origin_api::NginxStat>(state, nginx_answer());
}
BENCHMARK(srs);
BENCHMARK(nginx_rtmp);

}  // namespace

BENCHMARK_MAIN();
