// vLLM fetched whatever address a request named as its picture, those of the machine's own network too
// (CVE-2025-6242; SGLang 17269). Here a picture is a file or bytes, and a video may name no other file.
#include "eyeshot/media.h"
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(VllmCve20256242, AddressesAreNamesOfFiles) {
  for (const char* address :
       {"http://127.0.0.1:1/a.png", "file:///etc/hostname", "data:image/png;base64,iVBORw0KGgo="}) {
    ExpectError(LoadImage(address).status(), StatusCode::kNotFound, {address});
    EXPECT_FALSE(LoadVideo(address).ok()) << address;
  }
}

TEST(VllmCve20256242, PlaylistsAreNoVideos) {
  const TempDir dir;
  const std::string clip = EYESHOT_SOURCE_DIR "/tests/data/media/video/five_seconds.mp4";
  for (const std::string& text : {"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n" + clip + "\n#EXT-X-ENDLIST\n",
                                  "ffconcat version 1.0\nfile '" + clip + "'\n",
                                  std::string("v=0\nc=IN IP4 127.0.0.1\nm=video 1 RTP/AVP 96\n"), "concat:" + clip}) {
    for (const char* name : {"a.m3u8", "a.mp4"}) {
      ExpectError(LoadVideo(dir.Write(name, text)).status(), StatusCode::kUnsupported, {name});
    }
  }
}

}  // namespace
}  // namespace eyeshot::testing
