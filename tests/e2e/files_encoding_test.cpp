// Compressed siblings of files: which is sent, and what is said of it.
#include <sys/stat.h>

#include <string>

#include "files_fixture.h"

namespace treadle::test {
namespace {

constexpr time_t kOld = 1'000'000'000;

// a.css with all three siblings, whose contents only have to differ.
void write_siblings(const Tree& tree) {
  tree.write("a.css", "plain plain plain");
  tree.write("a.css.br", "[br]");
  tree.write("a.css.zst", "[zstd]");
  tree.write("a.css.gz", "[gzip]");
}

TEST(FilesEncoding, AcceptEncodingChooses) {
  run([] {
    Files files;
    write_siblings(files.tree());
    struct Case {
      std::string fields, encoding, body;
    };
    for (const Case& c : {
             Case{"", "", "plain plain plain"},
             Case{"Accept-Encoding: gzip, deflate, br, zstd\r\n", "br", "[br]"},
             Case{"Accept-Encoding: gzip, zstd\r\n", "zstd", "[zstd]"},
             Case{"Accept-Encoding: gzip\r\n", "gzip", "[gzip]"},
             Case{"Accept-Encoding: gzip;q=1, br;q=0.5\r\n", "gzip", "[gzip]"},
             Case{"Accept-Encoding: gzip;q=0\r\n", "", "plain plain plain"},
             Case{"Accept-Encoding: identity, gzip;q=0.5\r\n", "", "plain plain plain"},
             Case{"Accept-Encoding: deflate\r\n", "", "plain plain plain"},
             Case{"Accept-Encoding: deflate\r\nAccept-Encoding: gzip\r\n", "gzip", "[gzip]"},
             Case{"Accept-Encoding:\r\n", "", "plain plain plain"},
         }) {
      const RawResponse r = files.get("/a.css", c.fields);
      EXPECT_EQ(r.status, 200) << c.fields;
      EXPECT_EQ(r.header("Content-Encoding").value_or(""), c.encoding) << c.fields;
      EXPECT_EQ(r.body, c.body) << c.fields;
      EXPECT_EQ(r.header("Content-Type"), "text/css; charset=utf-8") << c.fields;
      EXPECT_EQ(r.header("Content-Length"), std::to_string(c.body.size())) << c.fields;
      EXPECT_EQ(r.header("Vary"), "Accept-Encoding") << c.fields;
      const RawResponse h = files.head("/a.css", c.fields);
      EXPECT_EQ(h.header("Content-Length"), r.header("Content-Length")) << c.fields;
      EXPECT_EQ(h.header("ETag"), r.header("ETag")) << c.fields;
    }
    EXPECT_FALSE(files.get("/hello.txt", "Accept-Encoding: gzip\r\n").header("Vary"));
  });
}

TEST(FilesEncoding, EachCodingHasItsOwnTag) {
  run([] {
    Files files;
    write_siblings(files.tree());
    const auto tag = [&](std::string_view coding) {
      return files.get("/a.css", "Accept-Encoding: " + std::string(coding) + "\r\n")
          .header("ETag")
          .value_or("");
    };
    const std::string plain = tag("identity");
    const std::string br = tag("br");
    const std::string gzip = tag("gzip");
    EXPECT_NE(plain, br);
    EXPECT_NE(br, gzip);
    EXPECT_NE(plain, gzip);
    RawResponse r = files.get("/a.css", "Accept-Encoding: br\r\nIf-None-Match: " + br + "\r\n");
    EXPECT_EQ(r.status, 304);
    EXPECT_EQ(r.header("ETag"), br);
    EXPECT_EQ(r.header("Vary"), "Accept-Encoding");
    EXPECT_FALSE(r.header("Content-Encoding"));
    r = files.get("/a.css", "Accept-Encoding: gzip\r\nIf-None-Match: " + br + "\r\n");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "[gzip]");
    EXPECT_EQ(files.get("/a.css", "Accept-Encoding: br\r\nIf-Match: " + gzip + "\r\n").status, 412);
  });
}

TEST(FilesEncoding, RangesAreOfWhatIsSent) {
  run([] {
    Files files;
    write_siblings(files.tree());
    const std::string gzip = "Accept-Encoding: gzip\r\n";
    RawResponse r = files.get("/a.css", gzip + "Range: bytes=1-4\r\n");
    EXPECT_EQ(r.status, 206);
    EXPECT_EQ(r.body, "gzip");
    EXPECT_EQ(r.header("Content-Range"), "bytes 1-4/6");
    EXPECT_EQ(r.header("Content-Encoding"), "gzip");
    EXPECT_EQ(r.header("Vary"), "Accept-Encoding");
    EXPECT_EQ(files.get("/a.css", gzip + "Range: bytes=6-\r\n").header("Content-Range"),
              "bytes */6");
    // The client has begun with another coding: it gets a whole one.
    const std::string plain = files.get("/a.css").header("ETag").value_or("");
    r = files.get("/a.css", gzip + "Range: bytes=1-4\r\nIf-Range: " + plain + "\r\n");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "[gzip]");
  });
}

TEST(FilesEncoding, SiblingsAreFilesOfTheirOwnToo) {
  run([] {
    Files files;
    write_siblings(files.tree());
    const RawResponse r = files.get("/a.css.br", "Accept-Encoding: br, gzip\r\n");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "[br]");
    EXPECT_FALSE(r.header("Content-Encoding"));
    EXPECT_FALSE(r.header("Vary"));
    EXPECT_EQ(files.get("/a.css.gz").header("Content-Type"), "application/gzip");
  });
}

TEST(FilesEncoding, IndexHasSiblingsToo) {
  run([] {
    Files files;
    files.tree().write("sub/index.html.gz", "[index]");
    const RawResponse r = files.get("/sub/", "Accept-Encoding: gzip\r\n");
    EXPECT_EQ(r.body, "[index]");
    EXPECT_EQ(r.header("Content-Encoding"), "gzip");
    EXPECT_EQ(r.header("Content-Type"), "text/html; charset=utf-8");
  });
}

TEST(FilesEncoding, OneThatIsOlderIsStale) {
  run([] {
    struct Case {
      long original_ns;
      time_t sibling;
      long sibling_ns;
      bool sent;
    };
    for (const Case& c : {
             Case{0, kOld - 1, 0, false},
             Case{0, kOld, 0, true},
             Case{0, kOld + 1, 0, true},
             Case{500, kOld, 500, true},
             Case{500, kOld, 501, true},
             Case{500, kOld, 499, false},
             Case{500, kOld, 0, true},  // its tool kept whole seconds
             Case{500, kOld - 1, 0, false},
         }) {
      Files files;
      files.tree().write("a.css", "plain");
      files.tree().write("a.css.gz", "[gzip]");
      files.tree().age("a.css", kOld, c.original_ns);
      files.tree().age("a.css.gz", c.sibling, c.sibling_ns);
      const RawResponse r = files.get("/a.css", "Accept-Encoding: gzip\r\n");
      EXPECT_EQ(r.body, c.sent ? "[gzip]" : "plain") << c.original_ns << " " << c.sibling_ns;
      EXPECT_EQ(r.header("Vary").has_value(), c.sent);
    }
  });
}

// The original is written while both are open: the sibling's time is over at once.
TEST(FilesEncoding, OneThatBecomesOlderIsStaleAtOnce) {
  run([] {
    Files files;
    write_siblings(files.tree());
    const std::string gzip = "Accept-Encoding: gzip\r\n";
    EXPECT_EQ(files.get("/a.css", gzip).body, "[gzip]");
    files.tree().write("a.css", "new");
    files.tree().age("a.css", kOld + 10);
    const RawResponse r = files.get("/a.css", gzip);
    EXPECT_EQ(r.body, "new");
    EXPECT_FALSE(r.header("Content-Encoding"));
  });
}

TEST(FilesEncoding, CanBeSwitchedOff) {
  run([] {
    Files files({.precompressed = false});
    write_siblings(files.tree());
    const RawResponse r = files.get("/a.css", "Accept-Encoding: br\r\n");
    EXPECT_EQ(r.body, "plain plain plain");
    EXPECT_FALSE(r.header("Vary"));
  });
}

}  // namespace
}  // namespace treadle::test
