// pure: the page; reading directories is tested over HTTP.
#include "file_listing.h"

#include <gtest/gtest.h>

namespace treadle::http::detail {
namespace {

TEST(FileListing, HtmlEscapeLeavesNoMarkup) {
  EXPECT_EQ(html_escape("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(html_escape("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

TEST(FileListing, NamesAreEncodedInLinksAndEscapedInText) {
  const std::string page =
      listing_page("/a<b>/", {{"sub dir", true, 0}, {"x&y.txt", false, 2048}}, true);
  EXPECT_NE(page.find("<title>/a&lt;b&gt;/</title>"), std::string::npos);
  EXPECT_NE(page.find("<a href=\"../\">"), std::string::npos);
  EXPECT_NE(page.find("<a href=\"./sub%20dir/\">sub dir/</a>"), std::string::npos);
  EXPECT_NE(page.find("<a href=\"./x%26y.txt\">x&amp;y.txt</a></td><td>2.0 KB"), std::string::npos);
}

TEST(FileListing, RootHasNoWayUp) {
  EXPECT_EQ(listing_page("/", {}, false).find("../"), std::string::npos);
}

}  // namespace
}  // namespace treadle::http::detail
