// pure
#include "mime.h"

#include <gtest/gtest.h>

using treadle::http::mime_type;

TEST(Mime, ExtensionDecides) {
  EXPECT_EQ(mime_type("index.html"), "text/html; charset=utf-8");
  EXPECT_EQ(mime_type("/a.b/c/app.js"), "text/javascript; charset=utf-8");
  EXPECT_EQ(mime_type("pic.PNG"), "image/png");
  EXPECT_EQ(mime_type("a.tar.gz"), "application/gzip");
  EXPECT_EQ(mime_type("data.json"), "application/json");
  EXPECT_EQ(mime_type("site.webmanifest"), "application/manifest+json");
  EXPECT_EQ(mime_type("x.7z"), "application/x-7z-compressed");
  EXPECT_EQ(mime_type("x.zst"), "application/zstd");
}

TEST(Mime, TextHasACharset) {
  for (const char* name : {"a.txt", "a.css", "a.csv", "a.md", "a.xml", "a.svg", "a.htm", "a.log"}) {
    EXPECT_NE(mime_type(name).find("; charset=utf-8"), std::string_view::npos) << name;
  }
}

TEST(Mime, UnknownIsOctetStream) {
  for (const char* name :
       {"", "a", "a.", ".", "a.unknown", "dir.html/file", "a.averyverylongextension", "html"}) {
    EXPECT_EQ(mime_type(name), "application/octet-stream") << name;
  }
}

TEST(Mime, OwnTypesGoFirst) {
  const treadle::http::MimeTypes types({{"glb", "model/gltf-binary"},
                                        {"TS", "text/typescript; charset=utf-8"},
                                        {"ts", "never/this"}});
  EXPECT_EQ(types.of("a/house.glb"), "model/gltf-binary");
  EXPECT_EQ(types.of("a.GLB"), "model/gltf-binary");
  EXPECT_EQ(types.of("main.ts"), "text/typescript; charset=utf-8");
  EXPECT_EQ(types.of("a.html"), "text/html; charset=utf-8");
  EXPECT_EQ(types.of("glb"), "application/octet-stream");
  EXPECT_EQ(types.of("a.glb/x"), "application/octet-stream");
  EXPECT_EQ(treadle::http::MimeTypes().of("x.png"), "image/png");
}
