// Files that change while they are served: the framing holds, and news show within a second.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>

#include <treadle/net/file.h>

#include "files_fixture.h"

namespace treadle::test {
namespace {

// A handler that declares a file's length, lets `change` happen to the file, and sends it.
http::Handler send_after(const Tree& tree, const std::string& name, std::function<void()> change) {
  return [path = tree.root() / name, change = std::move(change)](http::Response& res,
                                                                 const http::Request&) {
    auto file = net::File::open(path);
    ASSERT_TRUE(file);
    const auto size = static_cast<std::uint64_t>(file->stat()->st_size);
    res.content_length(size);
    change();
    res.send_file(*file, 0, size);
  };
}

void append(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::app) << text;
}

TEST(FilesChange, ASmallFileThatShrankBeforeItsHeadLeftIsAnError) {
  run([] {
    const Tree tree;
    RunningServer server(
        send_after(tree, "hello.txt", [&] { fs::resize_file(tree.root() / "hello.txt", 3); }));
    const RawResponse r = fetch(server.port(), get("/"));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(r.body.find("Hel"), std::string::npos);
  });
}

TEST(FilesChange, ALargeFileThatShrankAfterItsHeadLeftCutsTheConnection) {
  run([] {
    const Tree tree;
    RunningServer server(
        send_after(tree, "big.bin", [&] { fs::resize_file(tree.root() / "big.bin", 300'000); }));
    RawClient client(server.port());
    ASSERT_TRUE(client.send(get("/") + get("/second")));
    const std::string all = client.read_until_gone();
    const std::size_t body = all.find("\r\n\r\n") + 4;
    EXPECT_NE(all.find("Content-Length: 1000000\r\n"), std::string::npos);
    EXPECT_LE(all.size() - body, 300'000U);
    EXPECT_EQ(all.find("HTTP/1.1", 1), std::string::npos) << "a second answer, taken for content";
  });
}

TEST(FilesChange, AFileThatGrewIsSentAsLongAsItWas) {
  run([] {
    const Tree tree;
    for (const char* name : {"hello.txt", "big.bin"}) {
      RunningServer server(
          send_after(tree, name, [&] { append(tree.root() / name, pattern(500'000)); }));
      const auto before = fs::file_size(tree.root() / name);
      RawClient client(server.port());
      EXPECT_EQ(client.roundtrip(get("/")).body.size(), before);
      EXPECT_GT(client.roundtrip(get("/")).body.size(), before) << "the connection lives";
    }
  });
}

constexpr std::size_t kHuge = 16'000'000;  // more than all buffers on the way hold

// A client that has the head and a little of a huge file, while the server waits for it to read on.
RawClient slow_client(Files& files) {
  files.tree().write("huge.bin", std::string(kHuge, 'h'));
  RawClient client(files.port(), RawClient::Options{.receive_buffer = 4096});
  EXPECT_TRUE(client.send(get("/files/huge.bin")));
  EXPECT_NE(client.read_until("\r\n\r\n").find("Content-Length: 16000000\r\n"), std::string::npos);
  client.read_exactly(1000);
  return client;
}

TEST(FilesChange, ShrinkingUnderASlowReaderCutsTheConnection) {
  run([] {
    Files files;
    RawClient client = slow_client(files);
    fs::resize_file(files.tree().root() / "huge.bin", 5000);
    ASSERT_TRUE(client.send(get("/files/hello.txt")));
    const std::string rest = client.read_until_gone();
    EXPECT_LT(rest.size(), kHuge - 1000);
    // What was on its way is the file's own pages, and may have changed with them.
    EXPECT_EQ(rest.find("HTTP/1.1"), std::string::npos);
    EXPECT_EQ(files.get("/hello.txt").status, 200);
  });
}

TEST(FilesChange, GrowingUnderASlowReaderChangesNothing) {
  run([] {
    Files files;
    RawClient client = slow_client(files);
    append(files.tree().root() / "huge.bin", std::string(100'000, 'x'));
    const std::string rest = client.read_exactly(kHuge - 1000);
    EXPECT_EQ(rest.find_first_not_of('h'), std::string::npos);
    EXPECT_EQ(client.roundtrip(get("/files/hello.txt")).body, "Hello, files!\n");
  });
}

TEST(FilesChange, DeletingUnderASlowReaderChangesNothing) {
  run([] {
    Files files;
    RawClient client = slow_client(files);
    fs::remove(files.tree().root() / "huge.bin");
    EXPECT_EQ(client.read_exactly(kHuge - 1000).size(), kHuge - 1000);
    EXPECT_EQ(files.get("/huge.bin").status, 404);
  });
}

TEST(FilesChange, ShrinkingUnderMultipartCutsTheConnection) {
  run([] {
    Files files;
    files.tree().write("huge.bin", std::string(kHuge, 'h'));
    RawClient client(files.port(), RawClient::Options{.receive_buffer = 4096});
    ASSERT_TRUE(client.send(get("/files/huge.bin", "Range: bytes=0-7999999,8000000-15999999\r\n")));
    client.read_until("\r\n\r\n");
    fs::resize_file(files.tree().root() / "huge.bin", 5000);
    const std::string rest = client.read_until_gone();
    EXPECT_FALSE(rest.ends_with("--\r\n")) << "an end that says all is there";
  });
}

// New content of the same file: at once, whatever is kept open.
TEST(FilesChange, WritingInPlaceShowsAtOnce) {
  run([] {
    Files files;
    const RawResponse before = files.get("/hello.txt");
    files.tree().write("hello.txt", "something longer than before\n");
    const RawResponse after = files.get("/hello.txt");
    EXPECT_EQ(after.body, "something longer than before\n");
    EXPECT_NE(after.header("ETag"), before.header("ETag"));
  });
}

// Both times are long past, so that both tags are strong: what was made for the first one must not
// serve for the second, not even where nothing but a nanosecond tells them apart.
TEST(FilesChange, ANewTimeOfModificationShowsAtOnce) {
  run([] {
    Files files;
    const std::string path = (files.tree().root() / "hello.txt").string();
    const auto get_as_of = [&](timespec modified) {
      const timespec times[2] = {modified, modified};
      EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
      return files.get("/hello.txt");
    };
    const RawResponse before = get_as_of({784111777, 5});
    EXPECT_EQ(before.header("Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_EQ(before.header("ETag")->front(), '"') << "not strong";
    const RawResponse finer = get_as_of({784111777, 6});
    EXPECT_EQ(finer.header("Last-Modified"), before.header("Last-Modified"));
    EXPECT_NE(finer.header("ETag"), before.header("ETag"));
    const RawResponse later = get_as_of({784111778, 5});
    EXPECT_EQ(later.header("Last-Modified"), "Sun, 06 Nov 1994 08:49:38 GMT");
    EXPECT_NE(later.header("ETag"), before.header("ETag"));
    const RawResponse again = get_as_of({784111777, 5});
    EXPECT_EQ(again.header("ETag"), before.header("ETag"));
    EXPECT_EQ(again.header("Last-Modified"), before.header("Last-Modified"));
  });
}

// Asks until `done` holds of the answer. What was asked for a second after the change must show it.
void expect_within_a_second(Files& files, std::string_view path,
                            const std::function<bool(const RawResponse&)>& done) {
  const TimePoint changed = Clock::now();
  for (;;) {
    const bool late = Clock::now() - changed >= 1s;
    const RawResponse r = files.get(path);
    if (done(r)) return;
    ASSERT_FALSE(late) << path << " still answers " << r.status << " " << r.body;
    sleep(5ms);
  }
}

TEST(FilesChange, WhatBecomesOfAFileShowsWithinASecond) {
  run([] {
    Files files;
    const Tree& tree = files.tree();
    const auto is = [](std::string body) {
      return [body = std::move(body)](const RawResponse& r) { return r.body == body; };
    };
    const auto gone = [](const RawResponse& r) { return r.status == 404; };
    EXPECT_EQ(files.get("/hello.txt").status, 200);
    tree.write("new.txt", "renamed over");
    fs::rename(tree.root() / "new.txt", tree.root() / "hello.txt");
    expect_within_a_second(files, "/hello.txt", is("renamed over"));

    // With a second name the old file does not look deleted.
    fs::create_hard_link(tree.root() / "hello.txt", tree.root() / "also.txt");
    EXPECT_EQ(files.get("/hello.txt").body, "renamed over");
    tree.write("new.txt", "and once more");
    fs::rename(tree.root() / "new.txt", tree.root() / "hello.txt");
    expect_within_a_second(files, "/hello.txt", is("and once more"));
    EXPECT_EQ(files.get("/also.txt").body, "renamed over");

    fs::remove(tree.root() / "hello.txt");
    expect_within_a_second(files, "/hello.txt", gone);
    tree.write("hello.txt", "back");
    EXPECT_EQ(files.get("/hello.txt").body, "back") << "absence is not kept";

    // A directory above it is exchanged: the file itself has not changed at all.
    fs::create_directories(tree.root() / "other");
    tree.write("other/index.html", "other index");
    EXPECT_EQ(files.get("/sub/").body, "<p>index</p>");
    fs::rename(tree.root() / "sub", tree.root() / "old");
    fs::rename(tree.root() / "other", tree.root() / "sub");
    expect_within_a_second(files, "/sub/", is("other index"));
    fs::rename(tree.root() / "sub", tree.root() / "gone");
    expect_within_a_second(files, "/sub/", gone);

    // A new sibling.
    EXPECT_EQ(files.get("/hello.txt").body, "back");
    tree.write("hello.txt.gz", "[gzip]");
    expect_within_a_second(files, "/hello.txt",
                           [](const RawResponse& r) { return r.header("Vary").has_value(); });
  });
}

std::size_t open_descriptors() {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator("/proc/self/fd")) ++n;
  return n;
}

TEST(FilesChange, DescriptorsAreBoundedAndClosedSoonAfterTheLastRequest) {
  run([] {
    Files files({.open_files = 32});
    for (int i = 0; i < 200; ++i) files.tree().write("f" + std::to_string(i), "x");
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 200; ++i) EXPECT_EQ(files.get("/f" + std::to_string(i)).status, 200);
    EXPECT_LE(open_descriptors(), before + 32 + 8);
    // The watchdog ends the test when they stay.
    while (open_descriptors() > before + 8) sleep(20ms);
  });
}

// Lowers the limit of descriptors for as long as it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(std::size_t most) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit lower{most, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

TEST(FilesChange, RunningOutOfDescriptorsGivesUpThoseKeptOpen) {
  run([] {
    Files files({.open_files = 120});
    for (int i = 0; i < 100; ++i) files.tree().write("f" + std::to_string(i), "x");
    RawClient client(files.port());
    EXPECT_EQ(client.roundtrip(get("/files/hello.txt")).status, 200);
    const DescriptorLimit limit(open_descriptors() + 15);
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(client.roundtrip(get("/files/f" + std::to_string(i))).status, 200) << i;
  });
}

}  // namespace
}  // namespace treadle::test
