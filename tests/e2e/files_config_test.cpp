// The configuration of treadle-files.
#include <fstream>
#include <string>

#include "app.h"
#include "files_fixture.h"

namespace treadle::test {
namespace {

std::string write_config(const Tree& tree, std::string_view text) {
  std::string path = tree.top() / "files.toml";
  std::ofstream(path) << text;
  return path;
}

TEST(FilesConfig, RulesStandALineEach) {
  const Tree tree;
  tree.write("sub/a.glb", "x");
  tree.write("a.css", "plain");
  tree.write("a.css.gz", "[gzip]");
  const std::string config = write_config(tree, R"(
[files]
cache_control = "no-cache"
cache_control_rules = """
/sub/**: public, max-age=31536000, immutable

*.txt :max-age=5
"""
mime_types = "glb: model/gltf-binary"
precompressed = false
open_files = 0
max_listed = 1
listing = true
index = ""
etag_secret = "of this site"
)");
  App files("treadle-files", {"--root", tree.root(), "--config", config});
  RawResponse r = files.get("/sub/a.glb");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.header("Content-Type"), "model/gltf-binary");
  EXPECT_EQ(r.header("Cache-Control"), "public, max-age=31536000, immutable");
  const std::string tag = r.header("ETag").value_or("");
  EXPECT_EQ(files.get("/hello.txt").header("Cache-Control"), "max-age=5");
  EXPECT_EQ(files.get("/page.HTML").header("Cache-Control"), "no-cache");
  EXPECT_NE(files.get("/").body.find("There is more"), std::string::npos);
  r = fetch(files.port(), get("/a.css", "Accept-Encoding: gzip\r\n"));
  EXPECT_EQ(r.body, "plain");

  App without("treadle-files", {"--root", tree.root()});
  EXPECT_NE(without.get("/sub/a.glb").header("ETag"), tag) << "the secret counts";
  EXPECT_EQ(without.get("/sub/a.glb").header("ETag"),
            App("treadle-files", {"--root", tree.root()}).get("/sub/a.glb").header("ETag"))
      << "tags outlive the process";
}

TEST(FilesConfig, BadRulesAreNamedWithTheirLine) {
  const Tree tree;
  for (std::string_view bad :
       {"cache_control_rules = \"no colon\"", "cache_control_rules = \": value\"",
        "cache_control_rules = \"*: a\\u0001b\"", "mime_types = \"x:\"", "mime_types = 5",
        "open_files = -1", "precompressed = \"yes\"", "max_listed = 0"}) {
    const std::string config =
        write_config(tree, "[files]\nlisting = true\n" + std::string(bad) + "\n");
    const Finished f = run_app(
        "treadle-files", {"--listen", "127.0.0.1:0", "--root", tree.root(), "--config", config});
    EXPECT_EQ(f.exit_code, 2) << bad << f.output;
    EXPECT_NE(f.output.find("files.toml:3:"), std::string::npos) << bad << f.output;
  }
}

}  // namespace
}  // namespace treadle::test
