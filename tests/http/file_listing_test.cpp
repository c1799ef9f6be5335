// pure: the page; reading directories is tested over HTTP.
#include "file_listing.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace treadle::http::detail {
namespace {

constexpr const char* kReplacement = "\xef\xbf\xbd";

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(FileListing, TextLeavesNoMarkup) {
  EXPECT_EQ(html_text("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(html_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
}

TEST(FileListing, ControlsAndBytesThatAreNoUtf8AreReplaced) {
  const std::string r = kReplacement;
  EXPECT_EQ(html_text("a\nb\x1b[2J\x7f"), "a" + r + "b" + r + "[2J" + r);
  EXPECT_EQ(html_text("\xc2\x9b"), r) << "C1";
  EXPECT_EQ(html_text("\xff<"), r + "&lt;");
  EXPECT_EQ(html_text("\xc3"), r) << "cut off";
  EXPECT_EQ(html_text("\xc3<b>"), r + "&lt;b&gt;") << "a broken sequence swallows nothing";
  EXPECT_EQ(html_text("\xc0\xbc"), r + r) << "overlong";
  EXPECT_EQ(html_text("\xe0\x80\xbc"), r + r + r) << "overlong";
  EXPECT_EQ(html_text("\xed\xa0\x80"), r + r + r) << "a surrogate";
  EXPECT_EQ(html_text("\xf4\x90\x80\x80"), r + r + r + r) << "past the last code point";
}

TEST(FileListing, HostileNamesAreHarmless) {
  struct Case {
    std::string name, href, text;
  };
  const std::string r = kReplacement;
  for (const Case& c : {
           Case{"x&y.txt", "./x%26y.txt", "x&amp;y.txt"},
           Case{"\"><script>", "./%22%3E%3Cscript%3E", "&quot;&gt;&lt;script&gt;"},
           Case{"' onclick='x", "./%27%20onclick%3D%27x", "&#39; onclick=&#39;x"},
           Case{"javascript:alert(1)", "./javascript%3Aalert%281%29", "javascript:alert(1)"},
           Case{"100%25", "./100%2525", "100%25"},
           Case{"a\r\nb", "./a%0D%0Ab", "a" + r + r + "b"},
           Case{"\xff\xfe", "./%FF%FE", r + r},
           Case{"?q#f", "./%3Fq%23f", "?q#f"},
           Case{"\\evil", "./%5Cevil", "\\evil"},
           Case{"\xe2\x80\xaetxt.exe", "./%E2%80%AEtxt.exe", "\xe2\x80\xaetxt.exe"},
       }) {
    const std::string row = listing_row({c.name, false, 1, 0});
    EXPECT_TRUE(contains(row, "<a href=\"" + c.href + "\"><bdi>" + c.text + "</bdi></a>")) << row;
  }
}

TEST(FileListing, RowsSaySizeAndTime) {
  EXPECT_TRUE(contains(listing_row({"f", false, 2048, 1'000'000'000}),
                       "</a></td><td>2.0 KB</td><td>2001-09-09 01:46</td></tr>"));
  EXPECT_TRUE(contains(listing_row({"f", false, 1023, 0}), "<td>1023 B</td>"));
  EXPECT_TRUE(contains(listing_row({"f", false, ~0ULL, 0}), "<td>16.0 EB</td>"));
  EXPECT_TRUE(contains(listing_row({"f", false, 0, INT64_MAX}), "<td>9999-12-31 23:59</td>"));
  EXPECT_TRUE(contains(listing_row({"f", false, 0, -5}), "<td>1970-01-01 00:00</td>"));
  EXPECT_TRUE(contains(listing_row({"sub dir", true, 0, 0}),
                       "<a href=\"./sub%20dir/\"><bdi>sub dir</bdi>/</a></td><td></td>"));
}

TEST(FileListing, HeadNamesThePathAndFitsPhones) {
  const std::string head = listing_head("/a<b>/\n", true);
  EXPECT_TRUE(contains(head, std::string("<title>/a&lt;b&gt;/") + kReplacement + "</title>"));
  EXPECT_TRUE(contains(head, "name=\"viewport\" content=\"width=device-width"));
  EXPECT_TRUE(contains(head, "<a href=\"../\">"));
  EXPECT_FALSE(contains(listing_head("/", false), "../"));
}

TEST(FileListing, DirectoriesComeFirstAndNumbersByValue) {
  std::vector<ListedFile> files;
  for (const char* name : {"a10", "b", "a2", "B", "a1", "a"}) files.push_back({name, false, 0, 0});
  files.push_back({"z", true, 0, 0});
  files.push_back({"c", true, 0, 0});
  std::ranges::sort(files, listed_before);
  std::string order;
  for (const ListedFile& f : files) order += f.name + " ";
  EXPECT_EQ(order, "c z B a a1 a2 a10 b ");
}

TEST(FileListing, EndSaysWhatWasCut) {
  EXPECT_FALSE(contains(listing_end({}), "more"));
  Listed cut{.files = {{"a", false, 0, 0}}, .cut = true};
  EXPECT_TRUE(contains(listing_end(cut), "only 1 names"));
}

}  // namespace
}  // namespace treadle::http::detail
