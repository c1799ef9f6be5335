// pure
// Chunked bodies: sizes, extensions, line ends, trailers.
#include <gtest/gtest.h>

#include <string>

#include "chunked_writer.h"
#include "parse_checks.h"

using namespace treadle::test;
namespace http = treadle::http;

namespace {

// What the body of a chunked POST comes out as, or "!status reason".
std::string body_of(std::string_view chunks, const http::ParserLimits& limits = {}) {
  const std::string transcript = transcript_of(with_chunks(chunks), limits);
  const std::size_t refusal = transcript.find('!');
  if (refusal != std::string::npos) return transcript.substr(refusal);
  return transcript.substr(transcript.find(" : ") + 3);
}

int chunk_status(std::string_view chunks, const http::ParserLimits& limits = {}) {
  return status_of(with_chunks(chunks), limits);
}

}  // namespace

TEST(ChunkedBody, DataComesWithoutItsFraming) {
  EXPECT_EQ(body_of("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "hello world\n");
  EXPECT_EQ(body_of("0\r\n\r\n"), "\n");
  EXPECT_EQ(body_of("A\r\n0123456789\r\n0\r\n\r\n"), "0123456789\n");
  EXPECT_EQ(body_of("00a\r\n\r\n\r\n\r\n\r\n\r\n\r\n000\r\n\r\n"), "\r\n\r\n\r\n\r\n\r\n\n");
  EXPECT_EQ(body_of("2\r\n\r\n\r\n0\r\n\r\n"), "\r\n\n");
}

TEST(ChunkedBody, NextRequestFollowsAtOnce) {
  EXPECT_EQ(transcript_of(with_chunks("1\r\na\r\n0\r\n\r\n") + with_line("GET /b HTTP/1.1")),
            "POST / path=/ query= host=h HTTP/1.1 keep chunked [Host=h] "
            "[Transfer-Encoding=chunked] : a\n"
            "GET /b path=/b query= host=h HTTP/1.1 keep [Host=h] : \n");
}

TEST(ChunkedBody, BadSizesAre400) {
  for (const char* chunks :
       {"\r\n", ";a\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\t\r\nhello\r\n",
        "+5\r\nhello\r\n", "-5\r\nhello\r\n", "0x5\r\nhello\r\n", "5g\r\nhello\r\n", "g\r\n",
        "5,5\r\nhello\r\n", "5.\r\nhello\r\n", "\"5\"\r\nhello\r\n", "5_0\r\nhello\r\n",
        "\xef\xbc\x95\r\nhello\r\n", "-0\r\n\r\n"}) {
    EXPECT_EQ(chunk_status(chunks), 400) << printable(chunks);
  }
  using namespace std::string_literals;
  EXPECT_EQ(chunk_status("5\0\r\nhello\r\n"s), 400);
  EXPECT_EQ(chunk_status("\0005\r\nhello\r\n"s), 400);
}

TEST(ChunkedBody, SizesThatOverflowAre400) {
  EXPECT_EQ(chunk_status("ffffffffffffffff\r\nx"), 400);
  EXPECT_EQ(chunk_status("8000000000000000\r\nx"), 400);
  EXPECT_EQ(chunk_status("10000000000000000\r\nx"), 400);
  EXPECT_EQ(chunk_status("10000000000000005\r\nhello\r\n"), 400);
  EXPECT_EQ(chunk_status("00000000000000005\r\nhello\r\n"), 400);  // no number needs 17 digits
  EXPECT_EQ(chunk_status(std::string(5000, '0')), 400);
  EXPECT_EQ(chunk_status("7fffffffffffffff\r\nx"), 0);
  EXPECT_EQ(chunk_status("0000000000000005\r\nhello\r\n"), 0);
}

TEST(ChunkedBody, LineEndsMustBeCrLf) {
  for (const char* chunks :
       {"5\nhello\r\n0\r\n\r\n", "5\r\r\nhello\r\n", "5\rhello\r\n", "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n\r0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\n\n", "0\r\n\r\r\n\r\n", "0\r\n\rX\r\n\r\n",
        "0\n\n", "0\r\n\nGET / HTTP/1.1\r\n\r\n", "5;a\nhello\r\n"}) {
    EXPECT_EQ(chunk_status(chunks), 400) << printable(chunks);
  }
}

TEST(ChunkedBody, DataMustMatchItsSize) {
  EXPECT_EQ(chunk_status("4\r\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunk_status("6\r\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunk_status("7\r\nhello\r\n0\r\n\r\n"), 400);
}

TEST(ChunkedBody, ExtensionsAreCheckedAndDropped) {
  for (const char* ext :
       {";a", ";a=b", ";a;b", ";a=b;c=d", ";a=\"b c\"", ";a=\"\"", ";a=\"b\\\"c\\\\\"", " ;a",
        " ; a = b", "\t;\ta\t=\t\"b\"", ";a ;b", ";a=b ;c", ";a=\"b\" ;c", ";a=\"\xc3\xa9;=,\""}) {
    EXPECT_EQ(body_of("2" + std::string(ext) + "\r\nok\r\n0" + ext + "\r\n\r\n"), "ok\n") << ext;
  }
  for (const char* ext : {";",      ";;",        ";=",           ";a=",
                          ";a;",    "; ",        ";a ",          ";a=b ",
                          ";a=\"b", ";a=\"b\"c", ";a=\"b\" ",    ";a=b=c",
                          ";a=b c", ";a b",      ";a=\"b\x01\"", ";a=\"b\\\x01\"",
                          ";\x7f",  ";a=b\"c\"", ";\"a\"",       ";a=\xc3\xa9",
                          ",a",     "a;b,",      ";(a)",         ";a=\"\\\r\n\""}) {
    EXPECT_EQ(chunk_status("2" + std::string(ext) + "\r\nok\r\n0\r\n\r\n"), 400) << printable(ext);
  }
}

TEST(ChunkedBody, LongExtensionsAre400) {
  const auto with_extension = [](std::size_t size) {
    return "2;" + std::string(size - 1, 'a') + "\r\nok\r\n0\r\n\r\n";
  };
  EXPECT_EQ(chunk_status(with_extension(256)), 0);
  EXPECT_EQ(chunk_status(with_extension(257)), 400);
  EXPECT_EQ(chunk_status("2;" + std::string(5000, 'a')), 400);
  EXPECT_EQ(chunk_status("2" + std::string(257, ' ')), 400);
  // The cap is per chunk.
  EXPECT_EQ(chunk_status("1;abc\r\na\r\n1;abc\r\nb\r\n0;abc\r\n\r\n", {.chunk_extension = 4}), 0);
}

TEST(ChunkedBody, TrailersAreKeptApart) {
  EXPECT_EQ(body_of("1\r\na\r\n0\r\nX-Sum: 1 \r\nEmpty:\r\nY:\tb\r\n\r\n"),
            "a [X-Sum=1] [Empty=] [Y=b]\n");
  // They belong to their request only.
  EXPECT_EQ(transcript_of(with_chunks("0\r\nA: b\r\n\r\n") + with_chunks("0\r\n\r\n")),
            "POST / path=/ query= host=h HTTP/1.1 keep chunked [Host=h] "
            "[Transfer-Encoding=chunked] :  [A=b]\n"
            "POST / path=/ query= host=h HTTP/1.1 keep chunked [Host=h] "
            "[Transfer-Encoding=chunked] : \n");
}

TEST(ChunkedBody, FramingAndRoutingTrailersAre400) {
  for (const char* name : {"Content-Length", "Transfer-Encoding", "Host", "Connection", "Upgrade",
                           "TE", "Trailer", "Expect", "Authorization", "Content-Type",
                           "Content-Encoding", "cookie", "X-Forwarded-For"}) {
    EXPECT_EQ(chunk_status("0\r\n" + std::string(name) + ": 1\r\n\r\n"), 400) << name;
  }
  EXPECT_EQ(chunk_status("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(chunk_status("0\r\nConnection: close\r\n\r\n"), 400);
}

TEST(ChunkedBody, MalformedTrailersAre400) {
  for (const char* lines : {" a: b\r\n", "\ta: b\r\n", "a: b\r\n c\r\n", ": b\r\n", "a : b\r\n",
                            "a\r\n", "a: b\n", "a: b\rc: d\r\n", "a: \x01\r\n", "(a): b\r\n"}) {
    EXPECT_EQ(chunk_status("0\r\n" + std::string(lines) + "\r\n"), 400) << printable(lines);
  }
}

TEST(ChunkedBody, LargeTrailersAre431) {
  const http::ParserLimits limits{.headers = 2, .trailers = 32};
  EXPECT_EQ(chunk_status("0\r\nA: b\r\nC: d\r\n\r\n", limits), 0);
  EXPECT_EQ(chunk_status("0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", limits), 431);
  EXPECT_EQ(chunk_status("0\r\nA: " + std::string(25, 'b') + "\r\n\r\n", limits), 0);
  EXPECT_EQ(chunk_status("0\r\nA: " + std::string(26, 'b') + "\r\n\r\n", limits), 431);
  EXPECT_EQ(chunk_status("0\r\nA: " + std::string(40, 'b'), limits), 431);
}

TEST(ChunkedBody, OneSpanOfDataPerCall) {
  http::RequestParser parser;
  http::RequestHead head;
  const std::string stream = with_chunks("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET");
  std::string_view rest = stream;
  rest.remove_prefix(parser.parse_head(rest, {}, head).consumed);
  const auto first = parser.parse_body(rest, {});
  EXPECT_EQ(first.data, "abc");
  EXPECT_EQ(first.consumed, 6u);
  rest.remove_prefix(first.consumed);
  const auto second = parser.parse_body(rest, {});
  EXPECT_EQ(second.data, "de");
  rest.remove_prefix(second.consumed);
  const auto third = parser.parse_body(rest, {});
  EXPECT_EQ(third.status, http::ParseStatus::complete);
  rest.remove_prefix(third.consumed);
  EXPECT_EQ(rest, "GET");
}

TEST(ChunkedBody, WhatTheWriterFormatsIsRead) {
  std::string chunks, plain;
  for (const std::size_t size : {1u, 9u, 10u, 15u, 16u, 255u, 256u, 300u}) {
    const std::string data(size, 'x');
    chunks.append(http::ChunkHead(size).view()).append(data).append(http::kChunkEnd);
    plain += data;
  }
  chunks += http::kLastChunk;
  StreamParser parser;
  parser.feed(with_chunks(chunks));
  EXPECT_FALSE(parser.failed());
  EXPECT_NE(parser.transcript().find(" : " + plain + "\n"), std::string::npos);
  EXPECT_EQ(parser.unread(), 0u);
}
