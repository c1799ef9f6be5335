// pure
#include "form_disposition.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

// "name" or "name/filename"; what is wrong otherwise.
std::string disposition(const std::vector<HeaderField>& head) {
  const auto d = read_form_disposition(HeaderView(head));
  if (!d)
    return std::string(d.error().error == treadle::http::Errc::malformed_form ? "400: " : "415: ") +
           d.error().why;
  return d->filename ? d->name + "/" + *d->filename : d->name;
}
std::string disposition(std::string_view value) {
  return disposition({{"content-disposition", value}});
}

}  // namespace

TEST(FormDisposition, NamesAndFilenamesAreRead) {
  EXPECT_EQ(disposition("form-data; name=a"), "a");
  EXPECT_EQ(disposition("Form-Data; NAME=\"a b\""), "a b");
  EXPECT_EQ(disposition("form-data; name=\"\""), "");
  EXPECT_EQ(disposition("form-data; name=\"f\"; filename=\"x.png\"; size=3"), "f/x.png");
  EXPECT_EQ(disposition("form-data; filename=\"\"; name=\"f\""), "f/");
  EXPECT_EQ(disposition(R"(form-data; name="f"; filename="C:\dir\x.png")"), R"(f/C:\dir\x.png)");
  EXPECT_EQ(disposition(R"(form-data; name="a\"b"; filename="x%22y")"), R"(a"b/x%22y)");
  EXPECT_EQ(disposition("form-data; name=\"\xc3\xa9\""), "\xc3\xa9");
}

TEST(FormDisposition, ExtendedFilenameCountsOnlyAlone) {
  EXPECT_EQ(disposition("form-data; name=f; filename*=UTF-8''%c3%a9%20x"), "f/\xc3\xa9 x");
  EXPECT_EQ(disposition("form-data; name=f; filename*=utf-8'en'x"), "f/x");
  EXPECT_EQ(disposition("form-data; name=f; filename=a; filename*=utf-8''b"), "f/a");
  EXPECT_EQ(disposition("form-data; name=f; filename*=utf-8''b; filename=a"), "f/a");
  for (const char* bad : {"utf-8''%zz", "utf-8''a%0d", "utf-8''%00", "latin1''a", "utf-8'a", "a"})
    EXPECT_EQ(disposition(std::string("form-data; name=f; filename*=") + bad), "400: bad filename*")
        << bad;
}

TEST(FormDisposition, WhatTwoReadersCouldReadInTwoWaysIsRefused) {
  for (const char* bad :
       {"form-data", "form-data; filename=x", "attachment; name=a", "", "form-data; name=a; name=b",
        "form-data; name=a; Name=a", "form-data; name=a; filename=b; filename=b", "form-data; name",
        "form-data; name=\"a", "form-data name=a", "form-data, form-data; name=a"})
    EXPECT_TRUE(disposition(bad).starts_with("400: ")) << bad << ": " << disposition(bad);
  EXPECT_TRUE(disposition(std::vector<HeaderField>{}).starts_with("400: "));
  EXPECT_TRUE(disposition({{"Content-Disposition", "form-data; name=a"},
                           {"Content-Disposition", "form-data; name=a"}})
                  .starts_with("400: "));
  EXPECT_TRUE(disposition({{"Content-Disposition", "form-data; name=a"},
                           {"Content-Type", "a/b"},
                           {"Content-Type", "a/c"}})
                  .starts_with("400: "));
}

TEST(FormDisposition, TransferEncodingsAreUnsupported) {
  for (const char* fine : {"binary", "8BIT", "7bit", ""})
    EXPECT_EQ(disposition({{"Content-Disposition", "form-data; name=a"},
                           {"Content-Transfer-Encoding", fine}}),
              "a")
        << fine;
  for (const char* bad : {"base64", "quoted-printable", "x"})
    EXPECT_TRUE(disposition({{"Content-Disposition", "form-data; name=a"},
                             {"Content-Transfer-Encoding", bad}})
                    .starts_with("415: "))
        << bad;
}
