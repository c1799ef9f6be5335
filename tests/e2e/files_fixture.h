// A tree of files served over HTTP, for the tests of the file server.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <treadle/http/file_server.h>

#include "http_fixture.h"

namespace treadle::test {

namespace fs = std::filesystem;

// A directory with files, removed with it:  <top>/secret.txt  <top>/root/...
class Tree {
 public:
  Tree() {
    std::string name = testing::TempDir() + "treadle-XXXXXX";
    top_ = ::mkdtemp(name.data());
    fs::create_directories(root() / "sub" / "deep");
    write("../secret.txt", "secret");
    write("hello.txt", "Hello, files!\n");
    write("empty", "");
    write("page.HTML", "<p>page</p>");
    write("big.bin", pattern(1'000'000));
    write(".hidden", "hidden");
    write("sub/index.html", "<p>index</p>");
    write("sub/a b&c.txt", "odd name");
    write("sub/deep/x:y<b>.txt", "odder");
  }
  ~Tree() { fs::remove_all(top_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  fs::path top() const { return top_; }
  fs::path root() const { return top_ / "root"; }
  void write(const fs::path& name, std::string_view content) const {
    std::ofstream(root() / name, std::ios::binary) << content;
    // Old enough for a strong validator.
    age(name, 1'000'000'000);
  }
  void age(const fs::path& name, time_t when, long ns = 0) const {
    const timespec times[2] = {{when, ns}, {when, ns}};
    EXPECT_EQ(::utimensat(AT_FDCWD, (root() / name).c_str(), times, 0), 0);
  }
  void link(const fs::path& name, const fs::path& target) const {
    fs::create_symlink(target, root() / name);
  }

 private:
  fs::path top_;
};

// A tree served below /files/, and a client.
class Files {
 public:
  explicit Files(const http::FileServerOptions& options = {}) : server_(router(tree_, options)) {}

  std::uint16_t port() const { return server_.port(); }
  const Tree& tree() const { return tree_; }
  RawResponse get(std::string_view path, std::string_view fields = {}) {
    return fetch(port(), test::get("/files" + std::string(path), fields));
  }
  RawResponse head(std::string_view path, std::string_view fields = {}) {
    return fetch(port(), test::head("/files" + std::string(path), fields),
                 RawClient::Request::head);
  }

 private:
  static http::Router router(const Tree& tree, const http::FileServerOptions& options) {
    http::Router r;
    r.handle("/files/{path...}", http::file_server(tree.root(), options));
    return r;
  }

  Tree tree_;
  RunningServer server_;
};

}  // namespace treadle::test
