// No path, no encoding, no symbolic link and no race leads out of a file server's root.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>

#include "app.h"
#include "files_fixture.h"

namespace treadle::test {
namespace {

void expect_nothing_of_value(const RawResponse& r, std::string_view path) {
  EXPECT_NE(r.status, 0) << path;
  EXPECT_NE(r.status, 200) << path;
  EXPECT_NE(r.status, 206) << path;
  EXPECT_EQ(r.body.find("secret"), std::string::npos) << path;
  EXPECT_EQ(r.body.find("hidden"), std::string::npos) << path;
  EXPECT_EQ(r.body.find("root:"), std::string::npos) << path;
}

TEST(FilesAttack, NoEncodingLeadsOut) {
  run([] {
    Files files({.listing = true});
    for (std::string_view path : {
             "/../secret.txt",
             "/..",
             "/../",
             "/%2e%2e/secret.txt",
             "/%2e%2e",
             "/%2e./secret.txt",
             "/.%2e/secret.txt",
             "/%2E%2E%2Fsecret.txt",
             "/..%2fsecret.txt",
             "/sub/../../secret.txt",
             "/sub/..%2f..%2fsecret.txt",
             "/sub%2f..%2f..%2fsecret.txt",
             "/sub/deep/%2e%2e/%2e%2e/%2e%2e/secret.txt",
             "/%252e%252e/secret.txt",
             "/%25%32%65%25%32%65/secret.txt",
             "/%2%65%2%65/secret.txt",
             "/..%5csecret.txt",
             "/..\\secret.txt",
             "/..%255c..%255csecret.txt",
             "/%c0%ae%c0%ae/secret.txt",
             "/%c0%ae%c0%ae%c0%afsecret.txt",
             "/%e0%80%ae%e0%80%ae/secret.txt",
             "/%uff0e%uff0e/secret.txt",
             "/%u002e%u002e/secret.txt",
             "/.%00./secret.txt",
             "/hello.txt%00",
             "/hello.txt%00.html",
             "/..%00/secret.txt",
             "/./../secret.txt",
             "/././../secret.txt",
             "//etc/passwd",
             "///../secret.txt",
             "/%2fetc/passwd",
             "/%2Fetc%2Fpasswd",
             "/sub%2findex.html",
             "/%2fhello.txt",
             "/sub/.../secret.txt",
             "/..../secret.txt",
             "/..;/secret.txt",
             "/..;a=b/secret.txt",
             "/..%20/secret.txt",
             "/..%0a/secret.txt",
             "/..?/secret.txt",
             "/~root/",
             "/C:/secret.txt",
             "/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
             "/..%c0%afsecret.txt",
             "/..%ef%bc%8fsecret.txt",
             "/.hidden",
             "/%2ehidden",
             "/%2Ehidden",
             "/.hidden/",
             "/sub/../.hidden",
             "/.well-known/x",
             "/sub/.git/config",
             "/hello.txt/",
             "/hello.txt/.",
             "/hello.txt/..",
             "/hello.txt/x",
             "/secret.txt",
         })
      expect_nothing_of_value(files.get(path), path);
    EXPECT_EQ(files.get("/hello.txt").status, 200);
  });
}

TEST(FilesAttack, AnEncodedSlashIsNoSeparatorAndNulIsRefused) {
  run([] {
    Files files;
    EXPECT_EQ(files.get("/sub%2Findex.html").status, 404);
    EXPECT_EQ(files.get("/%2Fhello.txt").status, 404);
    EXPECT_EQ(files.get("/hello.txt%00.html").status, 400);
    EXPECT_EQ(files.get("/" + std::string(255, 'n')).status, 404);
    EXPECT_EQ(files.get("/" + std::string(256, 'n')).status, 404);
    EXPECT_EQ(files.get("/" + std::string(6000, 'n')).status, 404);
    std::string deep;
    for (int i = 0; i < 3000; ++i) deep += "/a";
    EXPECT_EQ(files.get(deep).status, 404);
  });
}

TEST(FilesAttack, NoLinkInAnyPositionLeadsOut) {
  run([] {
    Files files({.listing = true});
    const Tree& tree = files.tree();
    fs::create_directories(tree.top() / "outside" / "sub");
    tree.write("../outside/secret.txt", "secret");
    tree.write("../outside/index.html", "secret");
    tree.write("../outside/sub/secret.txt", "secret");
    tree.link("file", "../secret.txt");
    tree.link("file-absolute", tree.top() / "secret.txt");
    tree.link("dir", "../outside");
    tree.link("dir-absolute", tree.top() / "outside");
    tree.link("up", "..");
    tree.link("slash", "/");
    tree.link("self", "/proc/self/root");
    tree.link("cwd", "/proc/self/cwd");
    tree.link("fds", "/proc/self/fd");
    tree.link("chain", "chain-2");
    tree.link("chain-2", "sub/../../secret.txt");
    tree.link("loop", "loop");
    tree.link("sub/deep/file", "../../../secret.txt");
    tree.link("sub/deep/index.html", "../../../secret.txt");
    tree.link("sub/deep/outside", "../../../outside");
    tree.link("round-trip", "../root/hello.txt");
    tree.link("to-hidden-dir", ".hidden-dir");
    for (std::string_view path : {"/file",
                                  "/file-absolute",
                                  "/dir",
                                  "/dir/",
                                  "/dir/secret.txt",
                                  "/dir/sub/secret.txt",
                                  "/dir-absolute/secret.txt",
                                  "/dir-absolute/",
                                  "/up/",
                                  "/up/secret.txt",
                                  "/up/root/file",
                                  "/slash/etc/passwd",
                                  "/self/etc/passwd",
                                  "/cwd/",
                                  "/fds/0",
                                  "/fds/",
                                  "/chain",
                                  "/loop",
                                  "/sub/deep/file",
                                  "/sub/deep/outside/secret.txt",
                                  "/sub/deep/outside/",
                                  "/round-trip",
                                  "/to-hidden-dir/"})
      expect_nothing_of_value(files.get(path), path);
    // The index leads out, so that the directory has none that could be sent.
    const RawResponse index = files.get("/sub/deep/");
    EXPECT_EQ(index.body.find("secret"), std::string::npos);
    // No link is listed, wherever it leads.
    const RawResponse list = files.get("/");
    EXPECT_EQ(list.status, 200);
    EXPECT_EQ(list.body.find("chain"), std::string::npos);
    EXPECT_EQ(list.body.find("self"), std::string::npos);
  });
}

TEST(FilesAttack, ACompressedSiblingThatLeadsOutIsNone) {
  run([] {
    Files files;
    files.tree().link("hello.txt.gz", "../secret.txt");
    files.tree().link("hello.txt.br", "/etc/passwd");
    fs::create_directories(files.tree().root() / "hello.txt.zst");
    const RawResponse r = files.get("/hello.txt", "Accept-Encoding: gzip, br, zstd\r\n");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "Hello, files!\n");
    EXPECT_FALSE(r.header("Content-Encoding"));
    EXPECT_FALSE(r.header("Vary"));
  });
}

// Swaps a directory for a link that leads out, and back, as fast as it goes, while clients ask for
// what both hold. A server that looked first and opened then would leak within a moment.
void swap_under_load(std::size_t open_files) {
  Files files({.open_files = open_files});
  const Tree& tree = files.tree();
  fs::create_directories(tree.top() / "outside");
  tree.write("../outside/both.txt", "secret");
  tree.write("sub/both.txt", "inside");
  tree.link("swap", "../outside");
  std::atomic<bool> stop{false};
  std::atomic<int> swaps{0};
  std::thread swapper([&] {
    const std::string a = tree.root() / "sub";
    const std::string b = tree.root() / "swap";
    while (!stop.load()) {
      if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) ++swaps;
    }
  });
  int inside = 0;
  int other = 0;
  RawClient client(files.port());
  for (int i = 0; i < 1000 || (swaps.load() < 200 && i < 10'000); ++i) {
    const RawResponse r = client.roundtrip(get("/files/sub/both.txt"));
    if (r.status == 200) {
      EXPECT_EQ(r.body, "inside");
      ++inside;
    } else {
      EXPECT_EQ(r.status, 404);
      ++other;
    }
    if (testing::Test::HasFailure()) break;
  }
  stop = true;
  swapper.join();
  EXPECT_GT(inside, 0);
  EXPECT_GT(swaps.load(), 0);
  // With descriptors kept for a second the link may never be met; without, it must have been.
  if (open_files == 0) {
    EXPECT_GT(other, 0);
  }
}

TEST(FilesAttack, ADirectorySwappedForALinkNeverLeaks) {
  run([] { swap_under_load(0); });
}
TEST(FilesAttack, NorDoesItFromOpenDescriptors) {
  run([] { swap_under_load(256); });
}

TEST(FilesAttack, OnlyRegularFilesExist) {
  run([] {
    Files files({.listing = true});
    const Tree& tree = files.tree();
    ASSERT_EQ(::mkfifo((tree.root() / "fifo").c_str(), 0600), 0);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    (tree.root() / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    for (std::string_view path : {"/fifo", "/socket", "/fifo/", "/socket/x"})
      EXPECT_EQ(files.get(path).status, 404) << path;
    // Device files are for the privileged to make.
    for (const auto& [name, device] : {std::pair{"zero", makedev(1, 5)}, {"tty", makedev(5, 0)}}) {
      const int made = ::mknod((tree.root() / name).c_str(), S_IFCHR | 0600, device);
      EXPECT_EQ(files.get("/" + std::string(name)).status, 404) << made;
    }
    const std::string list = files.get("/").body;
    for (std::string_view name : {"fifo", "socket", "zero"})
      EXPECT_EQ(list.find(name), std::string::npos) << name;
    ::close(listener);
  });
}

TEST(FilesAttack, WhatMayNotBeReadIsForbidden) {
  const Tree tree;
  fs::permissions(tree.top(), fs::perms(0755));
  tree.write("locked.txt", "secret");
  fs::permissions(tree.root() / "locked.txt", fs::perms(0));
  fs::create_directories(tree.root() / "locked");
  tree.write("locked/a.txt", "secret");
  fs::permissions(tree.root() / "locked", fs::perms(0));
  std::vector<std::string> command =
      app_command("treadle-files", {"--listen", "127.0.0.1:0", "--root", tree.root()});
  // Nothing is locked to root.
  if (::geteuid() == 0)
    command.insert(command.begin(),
                   {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
  Process server(command);
  ASSERT_TRUE(server.wait_for_output("127.0.0.1:"));
  const std::string output = server.output();
  unsigned port = 0;
  ASSERT_EQ(std::sscanf(output.c_str() + output.find("127.0.0.1:"), "127.0.0.1:%u", &port), 1);
  const auto status = [&](std::string_view path) {
    return fetch(static_cast<std::uint16_t>(port), get(path)).status;
  };
  EXPECT_EQ(status("/hello.txt"), 200);
  EXPECT_EQ(status("/locked.txt"), 403);
  EXPECT_EQ(status("/locked/a.txt"), 403);
  EXPECT_EQ(status("/locked/"), 403);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  fs::permissions(tree.root() / "locked", fs::perms(0755));
}

}  // namespace
}  // namespace treadle::test
