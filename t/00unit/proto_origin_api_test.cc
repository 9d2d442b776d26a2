// What origins' APIs answer: rows of published streams, whatever pieces the answer comes in.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/proto/origin_api/nginx_stat.h"
#include "common/proto/origin_api/srs_streams.h"

namespace weir::origin_api {
namespace {

// Rows as `vhost|app|name|video|audio|bits|clients`, then how it ended.
template <typename Reader>
std::string read(std::string_view text, std::size_t step) {
  Reader reader;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += step) {
    ByteView in = as_bytes(text.substr(at, step));
    RowStep found = RowStep::kRow;
    while ((found = reader.next(in)) == RowStep::kRow) {
      const StreamRow& row = reader.row();
      for (const auto& each : {row.vhost, row.app, row.name, row.video, row.audio}) {
        out.append(each).append("|");
      }
      out += std::to_string(row.bits_per_second) + ' ';
    }
    if (found == RowStep::kInvalid) return out + "error: " + std::string(reader.error());
  }
  out += reader.complete() ? "whole" : "cut";
  if (reader.skipped() > 0) out += " skipped " + std::to_string(reader.skipped());
  return out;
}

struct Row {
  std::string in;
  std::string out;
};

template <typename Reader>
void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.in);
    CHECK(read<Reader>(row.in, row.in.size() + 1) == row.out);
    for (const std::size_t step : {1U, 2U, 3U, 7U, 16U})
      CHECK(read<Reader>(row.in, step) == row.out);
  }
}

std::string srs(const std::string& row) {
  return R"({"code":0,"server":"vid-1","streams":[)" + row + "]}";
}
std::string srs_named(const std::string& name) {
  return srs(R"({"name":")" + name + R"(","app":"a","publish":{"active":true}})");
}

std::string stat(const std::string& stream) {
  return "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\r\n<rtmp>\r\n<pid>17</pid>\r\n<server>\r\n"
         "<application>\r\n<name>live</name>\r\n<live>\r\n<stream>" +
         stream + "</stream>\r\n</live>\r\n</application>\r\n</server>\r\n</rtmp>\r\n";
}
std::string stat_named(const std::string& name) {
  return stat("<name>" + name + "</name><publishing/>");
}

}  // namespace

TEST_CASE("SRS: rows") {
  check<SrsStreams>({
      {srs(""), "whole"},
      {srs(R"({"id":"vid-2","name":"cam","vhost":"vid-3","app":"live","tcUrl":"rtmp://1.2.3.4/live",)"
           R"("url":"/live/cam","live_ms":1,"clients":3,"kbps":{"recv_30s":2345,"send_30s":1},)"
           R"("publish":{"active":true,"cid":"x"},"video":{"codec":"H264","profile":"High"},)"
           R"("audio":{"codec":"AAC","sample_rate":44100}})"),
       "|live|cam|H264|AAC|2345000 whole"},
      {srs(R"({"name":"cam","app":"live","url":"a.example.com/live/cam","publish":{"active":true},)"
           R"("video":null,"audio":null})"),
       "a.example.com|live|cam|||0 whole"},
      {srs(R"({"name":"p","app":"live","publish":{"active":false}},)"
           R"({"name":"q","app":"live"},{"name":"r","app":"live","publish":{"active":true}})"),
       "|live|r|||0 whole"},
      // The vhost: from the URL; else as it stands there, unless it is an id.
      {srs(R"({"name":"n","app":"a","vhost":"b.c","publish":{"active":true}})"),
       "b.c|a|n|||0 whole"},
      {srs(R"({"name":"n","app":"a","vhost":"vid-x","publish":{"active":true}})"),
       "|a|n|||0 whole"},
      {srs(R"({"name":"n","app":"a","url":"__defaultVhost__/a/n","publish":{"active":true}})"),
       "|a|n|||0 whole"},
      // Fields of the same names elsewhere mean nothing.
      {R"({"code":0,"x":{"streams":[{"name":"n","app":"a","publish":{"active":true}}]},)"
       R"("streams":[[{"name":"n","app":"a","publish":{"active":true}}],7,"name",)"
       R"({"name":"n","x":{"app":"z","name":"z","active":true,"y":[{"name":"z"}]},"app":"a",)"
       R"("publish":{"x":{"active":false},"active":true},"codec":"x"}]} )",
       "|a|n|||0 whole"},
      // The last one counts.
      {srs(R"({"name":"m","name":"n","app":"a","publish":{"active":false,"active":true}})"),
       "|a|n|||0 whole"},
  });
}

TEST_CASE("SRS: texts and numbers") {
  check<SrsStreams>({
      {srs_named(R"(\"\\\/\b\t\u00e9\u20AC\ud83d\ude00)"),
       "|a|\"\\/\b\t\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80|||0 whole"},
      {srs_named(R"(\ud83dx\ude00\ud83d\ud83d\ude00\ud800\n\ud800)"),
       "|a|\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD\xF0\x9F\x98\x80\xEF\xBF\xBD\n\xEF\xBF\xBD|||0 "
       "whole"},
      {srs_named("\x01\xFF<b>"), "|a|\x01\xFF<b>|||0 whole"},
      {srs_named(""), "whole skipped 1"},
      {srs_named(std::string(512, 'x')), "|a|" + std::string(512, 'x') + "|||0 whole"},
      {srs_named(std::string(513, 'x')), "whole skipped 1"},
      {srs_named(std::string(4096, 'x') + "\\u0041"), "whole skipped 1"},
      {srs_named("\\x"), "error: bad escape in a string"},
      {srs_named("\\u12G4"), "error: bad escape in a string"},
  });
  const auto number = [](const char* text, const char* kbits) {
    return Row{srs(R"({"name":"n","app":"a","publish":{"active":true},"kbps":{"recv_30s":)" +
                   std::string(text) + "}}"),
               "|a|n|||" + std::string(kbits) + "000 whole"};
  };
  const Row zero{number("0", "").in, "|a|n|||0 whole"};
  check<SrsStreams>({zero,
                     number("12", "12"),
                     number("1.5e3", "1500"),
                     number("12.99", "12"),
                     number("1200E-2", "12"),
                     number("1e+2", "100"),
                     number("99999999999999999999999", "4294967295"),
                     number("1e999999999", "4294967295"),
                     number("123456789012345678901234567890e-28", "12"),
                     {number("-5", "").in, "|a|n|||0 whole"},
                     {number("1e-99999999999", "").in, "|a|n|||0 whole"},
                     {number("0.000001", "").in, "|a|n|||0 whole"}});
}

TEST_CASE("SRS: answers that prove nothing") {
  const std::string row = R"({"name":"n","app":"a","publish":{"active":true}})";
  check<SrsStreams>({
      {"", "cut"},
      {"[]", "cut"},
      {"{}", "cut"},
      {R"({"code":0})", "cut"},
      {R"({"code":1061,"streams":[]})", "cut"},
      {R"({"code":0,"streams":{}})", "cut"},
      {R"({"code":0,"streams":[)" + row, "|a|n|||0 cut"},
      {R"({"code":0,"streams":[)" + row + "]", "|a|n|||0 cut"},
      {srs(row) + "x", "|a|n|||0 error: not JSON"},
      {srs(row) + "{}", "|a|n|||0 error: not JSON"},
      {srs(row + row), "|a|n|||0 error: not JSON"},
      {srs(row + ","), "|a|n|||0 error: not JSON"},
      {R"({"code":0,"streams":[{"a":1]})", "error: not JSON"},
      {R"({"code":0,"streams":[tru]})", "error: not JSON"},
      {R"({"code":0 "streams":[]})", "error: not JSON"},
      {R"({"code"=0})", "error: not JSON"},
      {R"({code:0})", "error: not JSON"},
      {R"({"code":-})", "error: not JSON"},
      {"<html><body>Log in</body></html>", "error: not JSON"},
      {"\"streams\"", "error: not JSON"},
      {"7 ", "error: not JSON"},
      {std::string(32, '['), "cut"},
      {std::string(33, '['), "error: nested too deeply"},
      {std::string(100000, '['), "error: nested too deeply"},
  });
}

TEST_CASE("SRS: all rows of a page are counted") {
  SrsStreams reader;
  ByteView in =
      as_bytes(R"({"code":0,"streams":[{},{"name":"p","app":"a"},{"publish":{"active":true}}]})");
  CHECK(reader.next(in) == RowStep::kNeedMore);
  CHECK(reader.complete());
  CHECK(reader.rows() == 3);
  CHECK(reader.skipped() == 1);
}

TEST_CASE("nginx-rtmp: rows") {
  check<NginxStat>({
      {"<rtmp></rtmp>", "whole"},
      {"\xEF\xBB\xBF<rtmp/>\n<!-- x -->", "whole"},
      {stat("<name>cam</name>\r\n<time>9</time><bw_in>2000000</bw_in>\r\n<bw_out>5</bw_out>"
            "<client><id>5</id><name>z</name><publishing/><active/></client>"
            "<meta><video><width>768</width><codec>H264</codec></video><audio><codec>AAC</codec>"
            "</audio></meta><nclients>2</nclients>\r\n<publishing/>\r\n<active/>\r\n"),
       "|live|cam|H264|AAC|2000000 whole"},
      {stat("<name>cam</name><client><publishing/></client><nclients>1</nclients>"), "whole"},
      {stat("<name>cam</name><publishing></publishing>"), "|live|cam|||0 whole"},
      {stat("<name>a</name><publishing/></stream><stream><name>b</name>"), "|live|a|||0 whole"},
      {stat("<name>a</name><bw_in>x</bw_in><nclients>99999999999999999999</nclients><publishing/>"),
       "|live|a|||0 whole"},
      {"<rtmp><server><application><name>vod</name><play><stream><name>x</name><publishing/></"
       "stream>"
       "</play></application></server><stream><name>y</name><publishing/></stream></rtmp>",
       "whole"},
      {stat("<publishing/>"), "whole skipped 1"},
  });
  NginxStat reader;
  const std::string text = stat_named("x");
  ByteView in = as_bytes(text);
  CHECK(reader.next(in) == RowStep::kRow);
  CHECK(reader.pid() == 17);
}

TEST_CASE("nginx-rtmp: texts") {
  check<NginxStat>({
      {stat_named("a&lt;b&gt;&amp;&quot;&apos;&#65;&#x42;&#xe9;&#x1F600;"),
       "|live|a<b>&\"'AB\xC3\xA9\xF0\x9F\x98\x80|||0 whole"},
      {stat_named("&;&nbsp;&a&b&#;&#x;&#xZZ;&verylongreferencename;x"),
       "|live|&;&nbsp;&a&b&#;&#x;&#xZZ;&verylongreferencename;x|||0 whole"},
      {stat_named("&#xD800;&#1114112;&#99999999999;"),
       "|live|\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|||0 whole"},
      {stat_named("a<![CDATA[<b>&amp;]]]>c<!-- <x> - -- -->d<?pi ?x?>e<![CDATA[]]>f"),
       "|live|a<b>&amp;]cdef|||0 whole"},
      {stat_named("a]]&gt;b"), "|live|a]]>b|||0 whole"},
      // A blank is what nginx shows for a byte that it can't show.
      {stat_named("caf "), "whole skipped 1"},
      {stat_named(std::string(512, 'x')), "|live|" + std::string(512, 'x') + "|||0 whole"},
      {stat_named(std::string(4096, 'x')), "whole skipped 1"},
      {"<rtmp a='>' b=\"/>'\" c><server x = \"&lt;\"></server ></rtmp\n>", "whole"},
  });
}

TEST_CASE("nginx-rtmp: answers that prove nothing") {
  std::string deep;
  for (int i = 0; i < 33; ++i) deep += "<rtmp>";
  check<NginxStat>({
      {"", "cut"},
      {"<rtmp>", "cut"},
      {stat_named("x").substr(0, 150), "cut"},
      {"<rtmp><server></rtmp>", "error: not XML"},
      {"<rtmp></rtmp><rtmp/>", "error: not XML"},
      {"<rtmp></rtmp>x", "error: not XML"},
      {"x<rtmp/>", "error: not XML"},
      {"<rtmp><a<b/></rtmp>", "error: not XML"},
      {"<rtmp>< a/></rtmp>", "error: not XML"},
      {"</rtmp>", "error: not XML"},
      {"<rtmp/ >", "error: not XML"},
      {"{\"code\":0}", "error: not XML"},
      {"<html><head>", "error: not the statistics of nginx-rtmp"},
      {"<!DOCTYPE html><html>", "error: a document type"},
      {"<!DOCTYPE rtmp [<!ENTITY a \"b\">]><rtmp/>", "error: a document type"},
      {"<rtmp><![CDATA[", "cut"},
      {"<![CDATA[x]]>", "error: a document type"},
      {deep, "error: nested too deeply"},
      {"<rtmp><" + std::string(65, 'x') + "/></rtmp>", "error: the name of an element is too long"},
  });
}

}  // namespace weir::origin_api
