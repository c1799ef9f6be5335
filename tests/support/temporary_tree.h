// A directory of its own for a test, removed with all that is in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace treadle::test {

class TemporaryTree {
 public:
  TemporaryTree() {
    std::string name = (std::filesystem::temp_directory_path() / "treadle-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::system_error(errno, std::system_category(), "mkdtemp");
    root_ = name;
  }
  ~TemporaryTree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;

  std::string path(const std::string& relative) const {
    return relative.empty() ? root_.string() : (root_ / relative).string();
  }
  void write(const std::string& relative, std::string_view text) const {
    std::ofstream out(path(relative), std::ios::binary | std::ios::trunc);
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + path(relative));
  }
  void make_directory(const std::string& relative) const {
    std::filesystem::create_directories(path(relative));
  }
  // A symbolic link at `relative` that says `target`.
  void link(const std::string& relative, const std::string& target) const {
    std::filesystem::create_symlink(target, path(relative));
  }

 private:
  std::filesystem::path root_;
};

}  // namespace treadle::test
