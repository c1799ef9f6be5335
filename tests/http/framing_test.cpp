// pure
// Message framing: every known way of making two parties see different messages is refused.
#include <gtest/gtest.h>

#include <string>

#include "parse_checks.h"

using namespace treadle::test;
namespace http = treadle::http;

namespace {

// A POST with these field lines and a body that is both: five bytes, and a chunk and the end.
std::string post_with(std::string_view fields, std::string_view version = "HTTP/1.1") {
  return "POST / " + std::string(version) + "\r\nHost: h\r\n" + std::string(fields) +
         "\r\n0\r\n\r\n";
}

}  // namespace

TEST(Framing, LengthDelimitedBodiesEndWhereTheySay) {
  EXPECT_EQ(
      transcript_of("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                    "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
                    "GET /c HTTP/1.1\r\nHost: h\r\n\r\n"),
      "POST /a path=/a query= host=h HTTP/1.1 keep length=5 [Host=h] [Content-Length=5] : hello\n"
      "POST /b path=/b query= host=h HTTP/1.1 keep [Host=h] [Content-Length=0] : \n"
      "GET /c path=/c query= host=h HTTP/1.1 keep [Host=h] : \n");
  EXPECT_STATUS(0, std::string("GET / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab"));
}

TEST(Framing, LeadingZerosDoNotChangeALength) {
  EXPECT_EQ(
      transcript_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0002\r\n\r\nok"),
      "POST / path=/ query= host=h HTTP/1.1 keep length=2 [Host=h] [Content-Length=0002] : ok\n");
  EXPECT_STATUS(
      0, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::string(60, '0') + "2\r\n\r\nok");
}

TEST(Framing, LengthsThatAreNotPlainNumbersAre400) {
  for (const char* value : {"",
                            " ",
                            "+5",
                            "-5",
                            "-0",
                            "0x5",
                            "5a",
                            "a",
                            "5 5",
                            "5,5",
                            "5, 5",
                            "5,",
                            ",5",
                            "5;",
                            "5.0",
                            "5e0",
                            "1_0",
                            "\"5\"",
                            "5\v",
                            "\xd9\xa5",
                            "9223372036854775808",
                            "18446744073709551615",
                            "18446744073709551616",
                            "18446744073709551621",
                            "99999999999999999999999",
                            "0b1",
                            "5 \t5"}) {
    EXPECT_STATUS(400, post_with("Content-Length: " + std::string(value) + "\r\n"));
  }
  EXPECT_STATUS(0, post_with("Content-Length: 9223372036854775807\r\n"));
}

TEST(Framing, TwoLengthsAre400EvenWhenEqual) {
  EXPECT_STATUS(400, post_with("Content-Length: 5\r\nContent-Length: 5\r\n"));
  EXPECT_STATUS(400, post_with("Content-Length: 5\r\ncontent-length: 6\r\n"));
  EXPECT_STATUS(400, post_with("Content-Length: 0\r\nContent-Length: 5\r\n"));
  EXPECT_STATUS(400, post_with("Content-Length:\r\nContent-Length: 5\r\n"));
}

TEST(Framing, LengthAndEncodingTogetherAre400) {
  EXPECT_STATUS(400, post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_STATUS(400, post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"));
  EXPECT_STATUS(400, post_with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_STATUS(400, post_with("Transfer-Encoding:\r\nContent-Length: 5\r\n"));
  EXPECT_STATUS(400, post_with("Content-Length: 5\r\nTransfer-Encoding: identity\r\n"));
  EXPECT_STATUS(400, post_with("Content-Length: 5\r\nX: y\r\nTransfer-encoding: CHUNKED\r\n"));
}

TEST(Framing, OnlyPlainChunkedIsAnEncoding) {
  EXPECT_STATUS(0, post_with("Transfer-Encoding: chunked\r\n"));
  EXPECT_STATUS(0, post_with("transfer-encoding: Chunked \r\n"));
  for (const char* value : {"",
                            "identity",
                            "gzip",
                            "chunked, gzip",
                            "chunked, chunked",
                            "chunked,",
                            ",chunked",
                            ", chunked",
                            "chunked;q=1",
                            "chunkedx",
                            "xchunked",
                            "x chunked",
                            "chunked x",
                            "\"chunked\"",
                            "'chunked'",
                            "chunk",
                            "identity, chunked",
                            "chunked, identity",
                            "chunked\v",
                            "\vchunked",
                            "gzip;q=1, chunked"}) {
    EXPECT_STATUS(400, post_with("Transfer-Encoding: " + std::string(value) + "\r\n"));
  }
}

TEST(Framing, UnknownCodingsBelowChunkedAre501) {
  EXPECT_STATUS(501, post_with("Transfer-Encoding: gzip, chunked\r\n"));
  EXPECT_STATUS(501, post_with("Transfer-Encoding: foo,chunked\r\n"));
}

TEST(Framing, TwoEncodingsAre400) {
  EXPECT_STATUS(400, post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_STATUS(400, post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n"));
  EXPECT_STATUS(400, post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"));
  EXPECT_STATUS(400, post_with("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"));
}

TEST(Framing, EncodingInHttp10Is400) {
  EXPECT_STATUS(400, post_with("Transfer-Encoding: chunked\r\n", "HTTP/1.0"));
  EXPECT_STATUS(400,
                post_with("Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", "HTTP/1.0"));
}

TEST(Framing, DisguisedFramingFieldsAre400) {
  for (const char* line :
       {"Transfer-Encoding : chunked\r\n", "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n", "\tTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n", "X: y\nTransfer-Encoding: chunked\r\n",
        "X:\r\n Transfer-Encoding: chunked\r\n", "Transfer-Encoding\r\n : chunked\r\n",
        "Transfer\r-Encoding: chunked\r\n", "Transfer-Encoding:\n chunked\r\n",
        "Content-Length\r\n: 5\r\n", "Content-Length : 5\r\n", ": chunked\r\n",
        "Transfer-Encoding;: chunked\r\n"}) {
    EXPECT_STATUS(400, post_with(line));
    EXPECT_STATUS(400, post_with("Content-Length: 5\r\n" + std::string(line)));
  }
  using namespace std::string_literals;
  EXPECT_STATUS(400, post_with("Transfer-Encoding: \0chunked\r\n"s));
  EXPECT_STATUS(400, post_with("Transfer-Encoding\0: chunked\r\n"s));
  EXPECT_STATUS(400, post_with("Transfer-Encoding: chunked\0\r\n"s));
  EXPECT_STATUS(400, post_with("X\0: y\r\n"s));
}

TEST(Framing, AnUnderscoreNamesAnotherField) {
  // Names that some gateways fold into one: here they have no meaning at all.
  EXPECT_EQ(transcript_of("POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 9\r\n"
                          "Transfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nok")
                .substr(0, 52),
            "POST / path=/ query= host=h HTTP/1.1 keep length=2 [");
}

TEST(Framing, WithoutFramingFieldsThereIsNoBody) {
  EXPECT_EQ(transcript_of("POST / HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
            "POST / path=/ query= host=h HTTP/1.1 keep [Host=h] : \n"
            "GET /b path=/b query= host=h HTTP/1.1 keep [Host=h] : \n");
}

TEST(Framing, BodiesOfAnyMethodAreTaken) {
  for (const char* method : {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"}) {
    const std::string stream = std::string(method) +
                               " / HTTP/1.1\r\nHost: h\r\nContent-Length: 24\r\n\r\n"
                               "GET /hidden HTTP/1.1\r\n\r\n"
                               "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    StreamParser parser = parse_all_ways(stream);
    EXPECT_EQ(parser.requests(), 2u) << method;
  }
}
