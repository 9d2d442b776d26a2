// Any bytes as a command and as a row of AMF0 values.
#include "common/proto/rtmp/amf0.h"
#include "common/proto/rtmp/command.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView in(data, size);
  rtmp::Command command;
  rtmp::parse_command(in, 20, command);
  rtmp::parse_command(in, 17, command);
  amf0::Reader reader(in);
  while (!reader.at_end() && reader.skip()) {
  }
  return 0;
}
