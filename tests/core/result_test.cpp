// pure: no goroutines
#include <gtest/gtest.h>

#include <treadle/result.h>

namespace treadle {
namespace {

TEST(ResultErrc, ComparesWithItsCode) {
  const Result<int> r = fail(Errc::closed);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error(), Errc::closed);
  EXPECT_NE(r.error(), Errc::eof);
}

TEST(ResultErrc, PortableNamesMatch) {
  EXPECT_EQ(make_error_code(Errc::timed_out), std::errc::timed_out);
  EXPECT_EQ(make_error_code(Errc::canceled), std::errc::operation_canceled);
  EXPECT_EQ(make_error_code(Errc::closed), std::errc::bad_file_descriptor);
  EXPECT_EQ(make_error_code(Errc::invalid), std::errc::invalid_argument);
  EXPECT_NE(make_error_code(Errc::eof), std::errc::io_error);
}

TEST(ResultErrc, EachHasATextOfItsOwn) {
  EXPECT_EQ(make_error_code(Errc::timed_out).message(), "timed out");
  EXPECT_EQ(make_error_code(Errc::canceled).message(), "canceled");
  EXPECT_EQ(make_error_code(Errc::closed).message(), "closed");
  EXPECT_EQ(make_error_code(Errc::eof).message(), "unexpected end of the stream");
  EXPECT_EQ(make_error_code(Errc::invalid).message(), "invalid argument");
  EXPECT_EQ(make_error_code(Errc::not_found).message(), "not found");
  EXPECT_EQ(treadle_category().message(99), "unknown error 99");
  EXPECT_STREQ(treadle_category().name(), "treadle");
}

TEST(ResultErrno, KeepsTheSystemsCategory) {
  const Result<int> r = fail_errno(2);
  EXPECT_EQ(r.error().category(), std::system_category());
  EXPECT_EQ(r.error(), std::errc::no_such_file_or_directory);
}

}  // namespace
}  // namespace treadle
