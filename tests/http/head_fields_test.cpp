// pure
// The meaning of fields alone: llhttp would refuse some of this before.
#include "head_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace treadle::http;

namespace {

// The status and reason it is refused with; "ok" otherwise.
std::string judge(std::vector<HeaderField> fields, int minor_version = 1) {
  fields.insert(fields.begin(), {"Host", "h"});
  RequestHead head;
  head.minor_version = minor_version;
  head.headers = std::move(fields);
  const auto refusal = interpret_fields(head);
  return refusal ? std::to_string(refusal->status) + " " + refusal->reason : "ok";
}

}  // namespace

TEST(HeadFields, OneFramingIsFine) {
  EXPECT_EQ(judge({}), "ok");
  EXPECT_EQ(judge({{"Content-Length", "5"}}), "ok");
  EXPECT_EQ(judge({{"Transfer-Encoding", "chunked"}}), "ok");
}

TEST(HeadFields, TwoFramingsAreRefused) {
  EXPECT_EQ(judge({{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}),
            "400 Content-Length and Transfer-Encoding");
  EXPECT_EQ(judge({{"Transfer-Encoding", "chunked"}, {"Content-Length", "0"}}),
            "400 Content-Length and Transfer-Encoding");
  EXPECT_EQ(judge({{"Content-Length", "5"}, {"content-length", "5"}}),
            "400 more than one Content-Length");
  EXPECT_EQ(judge({{"Transfer-Encoding", "chunked"}, {"TRANSFER-ENCODING", "chunked"}}),
            "400 more than one Transfer-Encoding");
  EXPECT_EQ(judge({{"Transfer-Encoding", "chunked"}}, 0), "400 Transfer-Encoding in HTTP/1.0");
}

TEST(HeadFields, BadFramingIsRefused) {
  EXPECT_EQ(judge({{"Content-Length", ""}}), "400 bad Content-Length");
  EXPECT_EQ(judge({{"Content-Length", "+1"}}), "400 bad Content-Length");
  EXPECT_EQ(judge({{"Content-Length", "18446744073709551617"}}), "400 bad Content-Length");
  EXPECT_EQ(judge({{"Transfer-Encoding", ""}}), "400 unsupported Transfer-Encoding");
  EXPECT_EQ(judge({{"Transfer-Encoding", "identity"}}), "400 unsupported Transfer-Encoding");
  EXPECT_EQ(judge({{"Transfer-Encoding", "gzip, chunked"}}), "501 unsupported Transfer-Encoding");
}

TEST(HeadFields, AuthorityOfTheTargetRulesOverHost) {
  RequestHead head;
  head.host = "target.example";
  head.headers = {{"Host", "other.example"}};
  EXPECT_FALSE(interpret_fields(head).has_value());
  EXPECT_EQ(head.host, "target.example");
}
