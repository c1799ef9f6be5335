// pure
// Encoders and decoders, piece by piece.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "decoder.h"
#include "encoder.h"

using namespace treadle::http;
using namespace treadle::http::detail;
using Op = BodyFilter::Op;

namespace {

// Text that compresses, but not to nothing.
std::string sample(std::size_t size) {
  std::string s;
  std::uint32_t x = 1;
  while (s.size() < size) {
    x = x * 1664525 + 1013904223;
    s += "word" + std::to_string(x >> 22) + " ";
  }
  s.resize(size);
  return s;
}

// What the encoder makes of `in` with `room` bytes for each step.
std::string pump(Encoder& encoder, std::string_view in, Op op, std::size_t room) {
  std::string all;
  std::string out(room, '\0');
  for (;;) {
    const BodyFilter::Step step = encoder.step(in, out, op);
    EXPECT_FALSE(step.failed);
    in.remove_prefix(step.consumed);
    all.append(out, 0, step.produced);
    if (step.done || step.failed) return all;
  }
}

std::string encode(Coding coding, std::string_view text, std::size_t room = 4096) {
  const auto encoder = make_encoder(coding, 4);
  EXPECT_TRUE(encoder->begin({}));
  return pump(*encoder, text, Op::finish, room);
}

// What comes out of `in`, given in pieces; nothing when that is malformed or not whole.
std::optional<std::string> decode(Coding coding, std::string_view in, std::size_t piece = 4096,
                                  std::size_t room = 4096) {
  const auto decoder = make_decoder(coding);
  std::string all;
  std::string out(room, '\0');
  std::string_view rest;
  for (;;) {
    if (rest.empty()) {
      rest = in.substr(0, piece);
      in.remove_prefix(rest.size());
    }
    const Decoder::Step step =
        decoder->step(std::as_bytes(std::span(rest)), std::as_writable_bytes(std::span(out)));
    if (step.failed) return {};
    rest.remove_prefix(step.consumed);
    all.append(out, 0, step.produced);
    if (step.consumed == 0 && step.produced == 0 && in.empty())
      return decoder->whole() && rest.empty() ? std::optional(all) : std::nullopt;
  }
}

}  // namespace

TEST(Coders, RoundTripsInPiecesOfAnySize) {
  for (const Coding coding : kCodings) {
    for (const std::size_t size : {0, 1, 100, 20'000, 1'000'000}) {
      const std::string text = sample(size);
      const std::string coded = encode(coding, text);
      if (size > 1000) {
        EXPECT_LT(coded.size(), size / 2) << coding_name(coding);
      }
      EXPECT_EQ(decode(coding, coded), text) << coding_name(coding) << " " << size;
      if (size > 20'000) continue;
      EXPECT_EQ(decode(coding, coded, 1, 1), text) << coding_name(coding) << " " << size;
      EXPECT_EQ(decode(coding, encode(coding, text, BodyFilter::kLeastRoom)), text)
          << coding_name(coding);
    }
  }
}

TEST(Coders, EncodersServeOneBodyAfterAnother) {
  for (const Coding coding : kCodings) {
    const auto encoder = make_encoder(coding, 1);
    for (const std::size_t size : {100'000, 10, 50'000}) {
      const std::string text = sample(size);
      ASSERT_TRUE(encoder->begin(size));
      EXPECT_EQ(decode(coding, pump(*encoder, text, Op::finish, 999)), text);
      // Given up in the middle.
      ASSERT_TRUE(encoder->begin({}));
      pump(*encoder, text, Op::run, 999);
      encoder->end();
    }
  }
}

TEST(Coders, FlushBringsAllOut) {
  for (const Coding coding : kCodings) {
    const auto encoder = make_encoder(coding, 4);
    ASSERT_TRUE(encoder->begin({}));
    const auto decoder = make_decoder(coding);
    std::string out(10'000, '\0');
    for (const std::size_t room :
         {BodyFilter::kLeastRoom, BodyFilter::kLeastRoom + 7, std::size_t{4096}}) {
      const std::string text = sample(5000);
      std::string coded = pump(*encoder, text, Op::run, room);
      coded += pump(*encoder, {}, Op::flush, room);
      EXPECT_EQ(pump(*encoder, {}, Op::flush, room).size() > 20, false);
      std::string_view rest = coded;
      std::string got;
      while (got.size() < text.size()) {
        const Decoder::Step step =
            decoder->step(std::as_bytes(std::span(rest)), std::as_writable_bytes(std::span(out)));
        ASSERT_FALSE(step.failed);
        ASSERT_TRUE(step.consumed > 0 || step.produced > 0) << coding_name(coding);
        rest.remove_prefix(step.consumed);
        got.append(out, 0, step.produced);
      }
      EXPECT_EQ(got, text) << coding_name(coding);
    }
  }
}

TEST(Coders, WhatIsBrokenIsSeen) {
  const std::string text = sample(20'000);
  for (const Coding coding : kCodings) {
    const std::string coded = encode(coding, text);
    for (const std::size_t size : {std::size_t{1}, coded.size() / 2, coded.size() - 1})
      EXPECT_FALSE(decode(coding, coded.substr(0, size))) << coding_name(coding) << " " << size;
    EXPECT_FALSE(decode(coding, coded + "x")) << coding_name(coding);
    EXPECT_FALSE(decode(coding, coded + "x", 1)) << coding_name(coding);
    EXPECT_FALSE(decode(coding, std::string(100, '\xff'))) << coding_name(coding);
  }
  std::string wrong_sum = encode(Coding::gzip, text);
  wrong_sum[wrong_sum.size() - 8] ^= 1;
  EXPECT_FALSE(decode(Coding::gzip, wrong_sum));
}

TEST(Coders, MembersAndFramesMayFollowOneAnother) {
  for (const Coding coding : {Coding::gzip, Coding::zstd}) {
    const std::string two = encode(coding, "one ") + encode(coding, "") + encode(coding, "two");
    EXPECT_EQ(decode(coding, two), "one two");
    EXPECT_EQ(decode(coding, two, 1), "one two");
  }
  EXPECT_FALSE(decode(Coding::br, encode(Coding::br, "one") + encode(Coding::br, "two")));
}

TEST(Coders, HugeWindowsAreRefused) {
  // A zstd frame that asks for a window of 128 MB: magic, no content size, window descriptor.
  const std::string frame("\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 9);
  EXPECT_FALSE(decode(Coding::zstd, frame));
  const std::string small("\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00", 9);  // 2 MB
  EXPECT_EQ(decode(Coding::zstd, small), "");
}
