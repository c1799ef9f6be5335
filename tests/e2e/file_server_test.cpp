// Files over HTTP: ranges, conditions, directories, and no way out of the root.
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "files_fixture.h"

namespace treadle::test {
namespace {

TEST(FileServer, SmallAndLargeFilesComeWhole) {
  run([] {
    Files files({.cache_control = "max-age=60"});
    RawResponse r = files.get("/hello.txt");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "Hello, files!\n");
    EXPECT_EQ(r.header("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(r.header("Content-Length"), "14");
    EXPECT_EQ(r.header("Last-Modified"), "Sun, 09 Sep 2001 01:46:40 GMT");
    EXPECT_EQ(r.header("Accept-Ranges"), "bytes");
    EXPECT_EQ(r.header("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(r.header("Cache-Control"), "max-age=60");
    ASSERT_TRUE(r.header("ETag"));
    EXPECT_TRUE(r.header("ETag")->starts_with('"'));

    r = files.get("/big.bin");
    EXPECT_EQ(r.header("Content-Length"), "1000000");
    EXPECT_TRUE(r.body == pattern(1'000'000));
    EXPECT_EQ(files.get("/empty").header("Content-Length"), "0");
    EXPECT_EQ(files.get("/page.HTML").header("Content-Type"), "text/html; charset=utf-8");
    EXPECT_EQ(files.get("/sub/a%20b&c.txt").body, "odd name");
  });
}

TEST(FileServer, ConnectionIsKeptAfterAFile) {
  run([] {
    Files files;
    RawClient client(files.port());
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(client.roundtrip(get("/files/big.bin")).body.size(), 1'000'000U);
      EXPECT_EQ(client.roundtrip(get("/files/hello.txt")).body.size(), 14U);
    }
  });
}

TEST(FileServer, HeadSaysWhatGetWouldSend) {
  run([] {
    Files files;
    for (std::string_view path : {"/hello.txt", "/big.bin", "/empty"}) {
      RawResponse h = files.head(path);
      RawResponse g = files.get(path);
      EXPECT_EQ(h.status, 200);
      for (std::string_view field : {"Content-Length", "Content-Type", "ETag", "Last-Modified"})
        EXPECT_EQ(h.header(field), g.header(field)) << path << field;
    }
    EXPECT_EQ(files.head("/hello.txt", "Range: bytes=0-1\r\n").status, 200);
  });
}

TEST(FileServer, OtherMethodsAreRefused) {
  run([] {
    Files files;
    RawResponse r = fetch(files.port(), post("/files/hello.txt", "x"));
    EXPECT_EQ(r.status, 405);
    EXPECT_EQ(r.header("Allow"), "GET, HEAD");
    EXPECT_EQ(fetch(files.port(), "DELETE " + get("/files/hello.txt").substr(4)).status, 405);
    r = fetch(files.port(), "OPTIONS " + get("/files/hello.txt").substr(4));
    EXPECT_EQ(r.status, 204);
    EXPECT_EQ(r.header("Allow"), "GET, HEAD");
    EXPECT_EQ(r.body, "");
  });
}

TEST(FileServer, SingleRangesAreCutOut) {
  run([] {
    Files files;
    struct Case {
      std::string range, content_range, body;
    };
    for (const Case& c : {
             Case{"bytes=0-4", "bytes 0-4/14", "Hello"},
             Case{"bytes=7-", "bytes 7-13/14", "files!\n"},
             Case{"bytes=-3", "bytes 11-13/14", "s!\n"},
             Case{"bytes=-100", "bytes 0-13/14", "Hello, files!\n"},
             Case{"bytes=13-99", "bytes 13-13/14", "\n"},
         }) {
      RawResponse r = files.get("/hello.txt", "Range: " + c.range + "\r\n");
      EXPECT_EQ(r.status, 206) << c.range;
      EXPECT_EQ(r.header("Content-Range"), c.content_range);
      EXPECT_EQ(r.body, c.body);
      EXPECT_EQ(r.header("Content-Type"), "text/plain; charset=utf-8");
    }
    RawResponse r = files.get("/big.bin", "Range: bytes=100000-899999\r\n");
    EXPECT_EQ(r.status, 206);
    EXPECT_TRUE(r.body == pattern(1'000'000).substr(100'000, 800'000));
  });
}

TEST(FileServer, UnsatisfiableRangeIs416AndNonsenseIsIgnored) {
  run([] {
    Files files;
    RawResponse r = files.get("/hello.txt", "Range: bytes=14-\r\n");
    EXPECT_EQ(r.status, 416);
    EXPECT_EQ(r.header("Content-Range"), "bytes */14");
    for (std::string_view range : {"bytes=5-2", "lines=1-2", "bytes", "bytes=a-b", "bytes=--1"})
      EXPECT_EQ(files.get("/hello.txt", "Range: " + std::string(range) + "\r\n").status, 200)
          << range;
    EXPECT_EQ(files.get("/empty", "Range: bytes=0-\r\n").status, 200);
    EXPECT_EQ(files.get("/hello.txt", "Range: bytes=0-1\r\nRange: bytes=2-3\r\n").status, 200);
  });
}

TEST(FileServer, SeveralRangesComeAsMultipart) {
  run([] {
    Files files;
    const std::string big = pattern(1'000'000);
    RawResponse r = files.get("/big.bin", "Range: bytes=0-9, 500000-799999, -5\r\n");
    EXPECT_EQ(r.status, 206);
    const std::string type = r.header("Content-Type").value_or("");
    const std::string start = "multipart/byteranges; boundary=";
    ASSERT_TRUE(type.starts_with(start)) << type;
    const std::string mark = "--" + type.substr(start.size());
    std::string expected;
    for (auto [first, last] : {std::pair{0, 9}, {500'000, 799'999}, {999'995, 999'999}}) {
      const std::size_t part = r.body.find(fmt::format("bytes {}-{}/1000000\r\n\r\n", first, last));
      ASSERT_NE(part, std::string::npos);
      const std::size_t data = r.body.find("\r\n\r\n", part) + 4;
      const auto size = static_cast<std::size_t>(last - first + 1);
      EXPECT_TRUE(r.body.compare(data, size, big, static_cast<std::size_t>(first), size) == 0);
      EXPECT_EQ(r.body.substr(data + size, mark.size() + 2), "\r\n" + mark);
    }
    EXPECT_TRUE(r.body.ends_with(mark + "--\r\n"));
    EXPECT_EQ(r.header("Content-Length"), std::to_string(r.body.size()));
  });
}

TEST(FileServer, GreedyRangesGetTheWholeFile) {
  run([] {
    Files files;
    EXPECT_EQ(files.get("/hello.txt", "Range: bytes=0-,0-,0-\r\n").status, 200);
    std::string many = "Range: bytes=0-0";
    for (int i = 1; i < 100; ++i) many += "," + std::to_string(i) + "-" + std::to_string(i);
    EXPECT_EQ(files.get("/big.bin", many + "\r\n").status, 200);
  });
}

TEST(FileServer, ConditionsAreEvaluated) {
  run([] {
    Files files;
    const RawResponse plain = files.get("/hello.txt");
    const std::string etag = plain.header("ETag").value_or("");
    const std::string date = plain.header("Last-Modified").value_or("");
    const auto with = [&](std::string_view fields) { return files.get("/hello.txt", fields); };

    RawResponse r = with("If-None-Match: \"other\", " + etag + "\r\n");
    EXPECT_EQ(r.status, 304);
    EXPECT_EQ(r.header("ETag"), etag);
    EXPECT_FALSE(r.header("Content-Length"));
    EXPECT_EQ(with("If-None-Match: W/" + etag + "\r\n").status, 304);
    EXPECT_EQ(with("If-None-Match: *\r\n").status, 304);
    EXPECT_EQ(with("If-None-Match: \"other\"\r\n").status, 200);
    EXPECT_EQ(with("If-Modified-Since: " + date + "\r\n").status, 304);
    EXPECT_EQ(with("If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n").status, 200);
    EXPECT_EQ(with("If-Match: " + etag + "\r\n").status, 200);
    EXPECT_EQ(with("If-Match: \"other\"\r\n").status, 412);
    EXPECT_EQ(with("If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n").status, 412);
    EXPECT_EQ(with("If-Range: " + etag + "\r\nRange: bytes=0-4\r\n").body, "Hello");
    EXPECT_EQ(with("If-Range: \"other\"\r\nRange: bytes=0-4\r\n").status, 200);
    EXPECT_EQ(with("If-Range: " + date + "\r\nRange: bytes=0-4\r\n").status, 206);
  });
}

TEST(FileServer, TagFollowsTheContentAndIsWeakWhileItMayChangeUnseen) {
  run([] {
    Files files;
    const std::string before = files.get("/hello.txt").header("ETag").value_or("");
    files.tree().write("hello.txt", "Hello, world!\n!");
    EXPECT_NE(files.get("/hello.txt").header("ETag"), before);
    files.tree().age("hello.txt", ::time(nullptr));
    const std::string fresh = files.get("/hello.txt").header("ETag").value_or("");
    EXPECT_TRUE(fresh.starts_with("W/\"")) << fresh;
  });
}

TEST(FileServer, DirectoryIsRedirectedToItsSlashAndAnsweredByItsIndex) {
  run([] {
    Files files;
    RawResponse r = files.get("/sub?q=1");
    EXPECT_EQ(r.status, 301);
    EXPECT_EQ(r.header("Location"), "/files/sub/?q=1");
    r = files.get("/sub/");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "<p>index</p>");
    EXPECT_EQ(r.header("Content-Type"), "text/html; charset=utf-8");
    EXPECT_EQ(files.get("/sub/deep/").status, 404);
    EXPECT_EQ(files.get("/").status, 404);
    EXPECT_EQ(files.get("/hello.txt/").status, 404);
  });
}

TEST(FileServer, ListingEscapesAndHides) {
  run([] {
    Files files({.index = "", .listing = true});
    RawResponse r = files.get("/");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.header("Content-Type"), "text/html; charset=utf-8");
    EXPECT_NE(r.body.find("href=\"./hello.txt\""), std::string::npos);
    EXPECT_NE(r.body.find("href=\"./sub/\""), std::string::npos);
    EXPECT_LT(r.body.find("./sub/"), r.body.find("./big.bin"));
    EXPECT_EQ(r.body.find("hidden"), std::string::npos);
    r = files.get("/sub/deep/");
    EXPECT_NE(r.body.find("href=\"./x%3Ay%3Cb%3E.txt\""), std::string::npos) << r.body;
    EXPECT_NE(r.body.find("x:y&lt;b&gt;.txt"), std::string::npos);
    EXPECT_EQ(r.body.find("<b>"), std::string::npos);
    EXPECT_NE(r.body.find("href=\"../\""), std::string::npos);
  });
}

TEST(FileServer, LongDirectoriesAreCut) {
  run([] {
    Files files({.index = "", .listing = true, .max_listed = 5});
    RawResponse r = files.get("/sub/");
    EXPECT_EQ(r.body.find("There is more"), std::string::npos);
    for (int i = 0; i < 20; ++i) files.tree().write("sub/deep/" + std::to_string(i), "");
    r = files.get("/sub/deep/");
    EXPECT_EQ(r.status, 200);
    EXPECT_NE(r.body.find("There is more"), std::string::npos);
    std::size_t rows = 0;
    for (std::size_t at = 0; (at = r.body.find("<bdi>", at)) != std::string::npos; ++at) ++rows;
    EXPECT_LE(rows, 1U + 5U);  // the title has one
  });
}

TEST(FileServer, ListingOfThousandsComesWhole) {
  run([] {
    Files files({.index = "", .listing = true});
    for (int i = 0; i < 3000; ++i) files.tree().write("sub/deep/f" + std::to_string(i), "");
    const RawResponse r = files.get("/sub/deep/");
    EXPECT_EQ(r.status, 200);
    EXPECT_TRUE(r.body.ends_with("</html>\n"));
    EXPECT_LT(r.body.find("\"./f999\""), r.body.find("\"./f1000\""));
    EXPECT_EQ(files.head("/sub/deep/").status, 200);
  });
}

TEST(FileServer, RulesChooseCacheControlAndType) {
  run([] {
    Files files({.cache_control = "no-cache",
                 .cache_control_rules = {{"/sub/**", "max-age=1, immutable"},
                                         {"*.txt", "max-age=2"},
                                         {"*.bin", ""}},
                 .mime_types = {{".bin", "x-test/bin"}}});
    EXPECT_EQ(files.get("/sub/a%20b&c.txt").header("Cache-Control"), "max-age=1, immutable");
    EXPECT_EQ(files.get("/sub/").header("Cache-Control"), "max-age=1, immutable");
    EXPECT_EQ(files.get("/hello.txt").header("Cache-Control"), "max-age=2");
    EXPECT_EQ(files.get("/page.HTML").header("Cache-Control"), "no-cache");
    const RawResponse bin = files.get("/big.bin");
    EXPECT_FALSE(bin.header("Cache-Control"));
    EXPECT_EQ(bin.header("Content-Type"), "x-test/bin");
    const RawResponse cached =
        files.get("/hello.txt",
                  "If-None-Match: " + files.get("/hello.txt").header("ETag").value_or("") + "\r\n");
    EXPECT_EQ(cached.status, 304);
    EXPECT_EQ(cached.header("Cache-Control"), "max-age=2");
  });
}

TEST(FileServer, OptionsThatCannotBeSentPanic) {
  const Tree tree;
  EXPECT_THROW(http::file_server(tree.root(), {.cache_control = "a\r\nb: c"}), Panic);
  EXPECT_THROW(http::file_server(tree.root(), {.cache_control_rules = {{"*", "a\nb"}}}), Panic);
  EXPECT_THROW(http::file_server(tree.root(), {.cache_control_rules = {{"", "a"}}}), Panic);
  EXPECT_THROW(http::file_server(tree.root(), {.mime_types = {{"x", ""}}}), Panic);
}

TEST(FileServer, RedirectsNeverNameAnotherHost) {
  run([] {
    const Tree tree;
    fs::create_directories(tree.root() / "\\evil.example");
    fs::create_directories(tree.root() / "evil.example" / "x");
    RunningServer server(http::file_server(tree.root()));
    for (std::string_view path :
         {"//evil.example", "//evil.example/x", "/.//evil.example", "/x/..//evil.example",
          "/%5Cevil.example", "/%2F/evil.example", "/%2e//evil.example", "///evil.example/x?a=//b",
          "/%2fevil.example", "/evil.example/x/..//..//evil.example"}) {
      const RawResponse r = fetch(server.port(), get(path));
      const std::string location = r.header("Location").value_or("/ok");
      EXPECT_TRUE(location.starts_with("/")) << path << " " << location;
      EXPECT_FALSE(location.starts_with("//") || location.starts_with("/\\"))
          << path << " " << location;
    }
    EXPECT_EQ(fetch(server.port(), get("/%5Cevil.example?q=%2F%2F")).header("Location"),
              "/%5Cevil.example/?q=%2F%2F");
  });
}

TEST(FileServer, WithoutAWildcardTheWholePathCounts) {
  run([] {
    Tree tree;
    RunningServer server(http::file_server(tree.root()));
    EXPECT_EQ(fetch(server.port(), get("/hello.txt")).status, 200);
    EXPECT_EQ(fetch(server.port(), get("/sub")).header("Location"), "/sub/");
    EXPECT_EQ(fetch(server.port(), get("/sub/")).body, "<p>index</p>");
    EXPECT_EQ(fetch(server.port(), get("/")).status, 404);
  });
}

TEST(FileServer, SubtreePatternServesToo) {
  run([] {
    Tree tree;
    http::Router router;
    router.handle("GET /static/", http::file_server(tree.root()));
    RunningServer server(router);
    EXPECT_EQ(fetch(server.port(), get("/static/hello.txt")).status, 200);
    EXPECT_EQ(fetch(server.port(), get("/static/sub/")).body, "<p>index</p>");
    EXPECT_EQ(fetch(server.port(), get("/static")).header("Location"), "/static/");
  });
}

TEST(FileServer, RootThatIsNotThereIsAnErrorAtOnce) {
  EXPECT_THROW(http::file_server("/no/such/directory"), Panic);
}

TEST(FileServer, SlowReadersShareTheServer) {
  run([] {
    Files files;
    std::vector<RawClient> slow;
    for (int i = 0; i < 8; ++i) {
      slow.emplace_back(files.port(), RawClient::Options{.receive_buffer = 4096});
      ASSERT_TRUE(slow.back().send(get("/files/big.bin")));
    }
    // None of them reads; others are served all the same.
    for (int i = 0; i < 10; ++i) EXPECT_EQ(files.get("/hello.txt").status, 200);
    for (RawClient& c : slow) EXPECT_TRUE(c.read_response().body == pattern(1'000'000));
  });
}

}  // namespace
}  // namespace treadle::test
