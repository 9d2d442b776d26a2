// DASH manifests: which URIs get the pin, and that nothing else changes.
#include <doctest/doctest.h>

#include <array>
#include <string>

#include "common/proto/dash/mpd.h"

namespace weir::dash {
namespace {

constexpr std::array<std::string_view, 2> kAuthorities = {"10.0.0.7:8080", "media.example.com"};

RewriteOptions options_for(std::string_view path) {
  RewriteOptions options;
  options.path = path;
  options.authorities = kAuthorities;
  options.pin_for = [](std::string_view scope) { return "P-" + std::string(scope); };
  return options;
}

std::string rewritten(std::string_view text, const RewriteOptions& options) {
  std::string out;
  CHECK(rewrite_mpd(as_bytes(text), options, out) == RewriteStatus::kOk);
  return out;
}

// What becomes of the inside of an MPD element.
std::string inside(std::string_view text, const RewriteOptions& options) {
  const std::string out = rewritten("<MPD>" + std::string(text) + "</MPD>", options);
  REQUIRE(out.starts_with("<MPD>"));
  REQUIRE(out.ends_with("</MPD>"));
  return out.substr(5, out.size() - 11);
}

struct Case {
  const char* in;
  const char* out;  // nullptr: the same
};
// In /dash/cam.mpd, pin `P-dash`.
constexpr Case kCases[] = {
    {"<SegmentTemplate media=\"$Time$.m4v\" initialization=\"init.m4v\"/>",
     "<SegmentTemplate media=\"$Time$.m4v?weir=P-dash\" initialization=\"init.m4v?weir=P-dash\"/>"},
    {"<SegmentTemplate\n   media = 'c-$RepresentationID$-$Number%05d$.m4s?a=b&amp;c=d'\n  "
     "index='i'/>",
     "<SegmentTemplate\n   media = "
     "'c-$RepresentationID$-$Number%05d$.m4s?a=b&amp;c=d&amp;weir=P-dash'"
     "\n  index='i?weir=P-dash'/>"},
    {"<SegmentTemplate bitstreamSwitching=\"b\" duration=\"2\"></SegmentTemplate>",
     "<SegmentTemplate bitstreamSwitching=\"b?weir=P-dash\" duration=\"2\"></SegmentTemplate>"},
    {"<SegmentList><Initialization sourceURL=\"i.mp4\" range=\"0-1\"/><SegmentURL media=\"1.m4s\" "
     "index=\"1.idx\" mediaRange=\"1-2\"/></SegmentList>",
     "<SegmentList><Initialization sourceURL=\"i.mp4?weir=P-dash\" range=\"0-1\"/><SegmentURL "
     "media=\"1.m4s?weir=P-dash\" index=\"1.idx?weir=P-dash\" mediaRange=\"1-2\"/></SegmentList>"},
    {"<RepresentationIndex sourceURL=\"r\"/><BitstreamSwitching sourceURL=\"b\"/>",
     "<RepresentationIndex sourceURL=\"r?weir=P-dash\"/><BitstreamSwitching "
     "sourceURL=\"b?weir=P-dash\"/>"},
    {"<Period xlink:href=\"p.xml\" xlink:actuate=\"onLoad\"/>",
     "<Period xlink:href=\"p.xml?weir=P-dash\" xlink:actuate=\"onLoad\"/>"},
    {"<Period xlink:href=\"urn:mpeg:dash:resolve-to-zero:2013\"/>", nullptr},
    {"<d:SegmentURL media='1.m4s'/>", "<d:SegmentURL media='1.m4s?weir=P-dash'/>"},
    {"<SegmentURL media=\"1.m4s?weir=old&amp;a=b\"/>",
     "<SegmentURL media=\"1.m4s?weir=old&amp;a=b&amp;weir=P-dash\"/>"},
    {"<SegmentURL media=\"1.m4s?a=b&#38;weir=old&#x26;c#f\"/>",
     "<SegmentURL media=\"1.m4s?a=b&#38;weir=old&#x26;c&amp;weir=P-dash#f\"/>"},
    {"<SegmentURL media=\"1.m4s?q=&quot;&lt;#t&gt;\"/>",
     "<SegmentURL media=\"1.m4s?q=&quot;&lt;&amp;weir=P-dash#t&gt;\"/>"},
    {"<SegmentURL media=\"\"/>", nullptr},
    {"<Representation media=\"x\" index=\"y\" sourceURL=\"z\"/><S media=\"x\"/>", nullptr},
    // Locations.
    {"<Location>http://10.0.0.7:8080/dash/cam.mpd?t=1</Location>",
     "<Location>/dash/cam.mpd?t=1&amp;weir=P-dash</Location>"},
    {"<Location>\n  cam.mpd\n  </Location>", "<Location>\n  cam.mpd?weir=P-dash\n  </Location>"},
    {"<Location>https://cdn.example.net/cam.mpd</Location>", nullptr},
    {"<PatchLocation ttl=\"60\">p.mpp</PatchLocation>",
     "<PatchLocation ttl=\"60\">p.mpp?weir=P-dash</PatchLocation>"},
    {"<ContentSteering>steer?x</ContentSteering>",
     "<ContentSteering>steer?x&amp;weir=P-dash</ContentSteering>"},
    // Clocks: URLs of the origin only; dates, host names and others' URLs stay.
    {"<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" "
     "value=\"http://10.0.0.7:8080/t\"/>",
     "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"/t?weir=P-\"/>"},
    {"<UTCTiming value=\"https://time.example.net/iso\"/>", nullptr},
    {"<UTCTiming value=\"2026-11-21T09:26:29Z\"/><UTCTiming value=\"0.pool.example.org\"/>",
     nullptr},
    {"<UTCTiming value=\"http://10.0.0.7:8080/a http://10.0.0.7:8080/b\"/>", nullptr},
    // Base URLs: a file takes the pin, a directory does not.
    {"<BaseURL>s-stream0.mp4</BaseURL>", "<BaseURL>s-stream0.mp4?weir=P-dash</BaseURL>"},
    {"<BaseURL>v/</BaseURL><SegmentURL media='1'/>",
     "<BaseURL>v/</BaseURL><SegmentURL media='1?weir=P-dash'/>"},
    {"<BaseURL>http://media.example.com/a/</BaseURL><SegmentURL media='1'/>",
     "<BaseURL>/a/</BaseURL><SegmentURL media='1?weir=P-a'/>"},
    {"<BaseURL> http://media.example.com/ </BaseURL>", "<BaseURL> / </BaseURL>"},
    {"<BaseURL>v/?x=1</BaseURL><BaseURL>..</BaseURL><BaseURL>./</BaseURL><BaseURL></BaseURL>",
     nullptr},
    {"<BaseURL><!-- none --></BaseURL><BaseURL><![CDATA[x]]></BaseURL><BaseURL/>", nullptr},
    {"<BaseURL>http://cdn.example.net/</BaseURL><Period><SegmentURL media='1'/><SegmentURL "
     "media='/2'/></Period>",
     nullptr},
    {"<BaseURL>http://cdn.example.net/</BaseURL><SegmentURL media='//media.example.com/x/1'/>",
     "<BaseURL>http://cdn.example.net/</BaseURL><SegmentURL media='/x/1?weir=P-x'/>"},
    {"<Period><BaseURL>//cdn.example.net/</BaseURL><SegmentURL media='1'/></Period><Period>"
     "<SegmentURL media='1'/></Period>",
     "<Period><BaseURL>//cdn.example.net/</BaseURL><SegmentURL media='1'/></Period><Period>"
     "<SegmentURL media='1?weir=P-dash'/></Period>"},
    {"<BaseURL>v/</BaseURL><BaseURL>http://cdn.example.net/v/</BaseURL><SegmentURL media='1'/>",
     "<BaseURL>v/</BaseURL><BaseURL>http://cdn.example.net/v/</BaseURL><SegmentURL "
     "media='1?weir=P-dash'/>"},
    {"<BaseURL>http://cdn.example.net/v/</BaseURL><BaseURL>/v/</BaseURL><SegmentURL media='1'/>",
     "<BaseURL>http://cdn.example.net/v/</BaseURL><BaseURL>/v/</BaseURL><SegmentURL "
     "media='1?weir=P-v'/>"},
    {"<BaseURL>../x/</BaseURL><Period><BaseURL>y/</BaseURL><SegmentURL "
     "media='../../z/1'/></Period>",
     "<BaseURL>../x/</BaseURL><Period><BaseURL>y/</BaseURL><SegmentURL "
     "media='../../z/1?weir=P-z'/></Period>"},
    // A template as the scope: no pin could be right.
    {"<SegmentTemplate media='/$RepresentationID$/1'/>", nullptr},
    // Where markup may stand.
    {"<!-- <SegmentURL media=\"1\"/> --><?pi <SegmentURL media='1'/> ?><![CDATA[<BaseURL>x]]>",
     nullptr},
    {"<a b='>' c=\"'\"/>text &amp; &#65; <d\n></d >", nullptr},
};

TEST_CASE("URIs that come back get the pin, others are left alone") {
  const RewriteOptions options = options_for("/dash/cam.mpd");
  for (const Case& c : kCases) {
    CAPTURE(c.in);
    CHECK(inside(c.in, options) == (c.out != nullptr ? c.out : c.in));
  }
}

TEST_CASE("parameters of the client are carried, safe in XML and in templates") {
  RewriteOptions options = options_for("/dash/cam.mpd");
  options.carry_query = true;
  options.query = "token=a&x='\"<>&weir=old&y=$Number$";
  CHECK(inside("<SegmentTemplate media='$Number$.m4s?token=own'/>", options) ==
        "<SegmentTemplate media='$Number$.m4s?token=own&amp;x=%27%22%3C%3E&amp;y=%24Number%24"
        "&amp;weir=P-dash'/>");
}

// As nginx-rtmp and ffmpeg write them; `@` is where the parameter goes.
constexpr const char* kManifests[] = {
    "<?xml version=\"1.0\"?>\n<MPD\n    type=\"dynamic\"\n"
    "    xmlns=\"urn:mpeg:dash:schema:mpd:2011\"\n    minimumUpdatePeriod=\"PT2S\"\n"
    "    xsi:schemaLocation=\"urn:mpeg:DASH:schema:MPD:2011 DASH-MPD.xsd\">\n"
    "  <Period start=\"PT0S\" id=\"dash\">\n    <AdaptationSet\n        id=\"1\">\n"
    "      <Representation\n          id=\"cam_H264\"\n          bandwidth=\"0\">\n"
    "        <SegmentTemplate\n            timescale=\"1000\"\n"
    "            media=\"cam-$Time$.m4v@\"\n            initialization=\"cam-init.m4v@\">\n"
    "          <SegmentTimeline>\n             <S t=\"0\" d=\"2023\"/>\n"
    "          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n"
    "    </AdaptationSet>\n  </Period>\n</MPD>\n",
    "\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<MPD xmlns:xlink=\"http://x/y\">\r\n"
    "\t<Period id=\"0\">\r\n\t\t<AdaptationSet id=\"0\">\r\n\t\t\t<Representation id=\"0\">\r\n"
    "\t\t\t\t<BaseURL>s-stream0.mp4@</BaseURL>\r\n\t\t\t\t<SegmentList startNumber=\"1\">\r\n"
    "\t\t\t\t\t<Initialization range=\"0-813\" />\r\n"
    "\t\t\t\t\t<SegmentURL mediaRange=\"814-23049\" indexRange=\"814-865\" />\r\n"
    "\t\t\t\t\t<SegmentURL media=\"chunk-stream0-00001.m4s@\" />\r\n"
    "\t\t\t\t</SegmentList>\r\n\t\t\t</Representation>\r\n\t\t</AdaptationSet>\r\n\t</Period>\r\n"
    "</MPD>\r\n<!-- end -->",
};

TEST_CASE("whole manifests, byte for byte") {
  for (const std::string_view marked : kManifests) {
    std::string in, out;
    for (const char c : marked) {
      if (c == '@') {
        out += "?weir=P-dash";
      } else {
        in.push_back(c);
        out.push_back(c);
      }
    }
    CHECK(rewritten(in, options_for("/dash/cam.mpd")) == out);
  }
}

TEST_CASE("a manifest of 5 MB") {
  std::string in = "<MPD><SegmentList>", expected = in;
  for (int i = 0; in.size() < (std::size_t{5} << 20); ++i) {
    const std::string url = "<SegmentURL media=\"seg-" + std::to_string(i) + ".m4s";
    in += url + "\"/>";
    expected += url + "?weir=P-dash\"/>";
  }
  in += "</SegmentList></MPD>";
  expected += "</SegmentList></MPD>";
  CHECK(rewritten(in, options_for("/dash/cam.mpd")) == expected);
}

TEST_CASE("refusals") {
  RewriteOptions options = options_for("/dash/cam.mpd");
  std::string out;
  const auto status = [&](std::string_view text) {
    out = "before";
    const RewriteStatus result = rewrite_mpd(as_bytes(text), options, out);
    CHECK((result == RewriteStatus::kOk || out.empty()));
    return result;
  };
  for (const std::string_view text :
       {"", "text", "<html><MPD/></html>", "<!DOCTYPE x><MPD/>", "<?xml", "<", "<!-- ", "</MPD>"}) {
    CAPTURE(text);
    CHECK(status(text) == RewriteStatus::kNotAPlaylist);
  }
  for (const std::string_view text :
       {"<MPD>", "<MPD", "<MPD><a></MPD>", "<MPD></MPD></MPD>", "<MPD/><MPD/>", "<MPD a/>",
        "<MPD a=b/>", "<MPD a='b/>", "<MPD a='<'/>", "<MPD / >", "<MPD><!ENTITY x 'y'></MPD>",
        "<MPD><BaseURL>x", "<MPD><SegmentURL media='\x01'/></MPD>", "<MPD><!--></MPD>",
        "<MPD =''/>", "<MPD><BaseURL>\x7F</BaseURL></MPD>", "<MPD><></MPD>"}) {
    CAPTURE(text);
    CHECK(status(text) == RewriteStatus::kBadLine);
  }
  const auto nested = [](int depth) {
    std::string text = "<MPD>";
    for (int i = 1; i < depth; ++i) text += "<a>";
    for (int i = 1; i < depth; ++i) text += "</a>";
    return text + "</MPD>";
  };
  CHECK(status(nested(32)) == RewriteStatus::kOk);
  CHECK(status(nested(33)) == RewriteStatus::kBadLine);
  std::string attributes = "<MPD ";
  for (int i = 0; i < 100; ++i) attributes += "a" + std::to_string(i) + "='' ";
  CHECK(status(attributes + "/>") == RewriteStatus::kBadLine);
  CHECK(status("<MPD a='" + std::string(65 * 1024, 'x') + "'/>") == RewriteStatus::kBadLine);
  CHECK(status("<MPD>" + std::string(std::size_t{8} << 20, ' ') + "</MPD>") ==
        RewriteStatus::kTooLarge);
  options.max_output = 20;
  CHECK(status("<MPD><SegmentURL media='1'/></MPD>") == RewriteStatus::kTooLarge);
}

}  // namespace
}  // namespace weir::dash
