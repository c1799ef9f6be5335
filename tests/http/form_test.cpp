// Forms read as a whole: from bodies without a connection, and through a server.
#include <treadle/http/form.h>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <treadle/http/error.h>
#include <treadle/net/file.h>

#include "e2e/http_fixture.h"
#include "fake_request.h"
#include "support/temporary_tree.h"

namespace treadle::test {
namespace {

using http::Form;
using http::FormOptions;
using http::read_form;
using http::UploadedFile;

const std::string kMultipart = "multipart/form-data; boundary=b";
const std::string kUrlencoded = "application/x-www-form-urlencoded";

std::string part(std::string_view name, std::string_view data) {
  return "--b\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" +
         std::string(data) + "\r\n";
}
std::string file_part(std::string_view name, std::string_view filename, std::string_view data) {
  return "--b\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"; filename=\"" +
         std::string(filename) + "\"\r\nContent-Type: application/x-test\r\n\r\n" +
         std::string(data) + "\r\n";
}
const std::string kEnd = "--b--\r\n";

std::error_code failure(FakeRequest& fake, const FormOptions& options = {}) {
  const Result<Form> form = read_form(fake.request, options);
  if (form) return {};
  EXPECT_EQ(fake.state.content_error(), form.error());
  return form.error();
}

}  // namespace

TEST(FormUrlencoded, PairsAreDecodedInTheirOrder) {
  FakeRequest fake(kUrlencoded + "; charset=utf-8", "a=1+2&b=%26&a=3&&c", 1);
  const Result<Form> form = read_form(fake.request);
  ASSERT_TRUE(form.has_value());
  ASSERT_EQ(form->fields().size(), 4u);
  EXPECT_EQ(form->value("a"), "1 2");
  EXPECT_EQ(form->value("b"), "&");
  EXPECT_EQ(form->fields()[2].value, "3");
  EXPECT_EQ(form->value("c"), "");
  EXPECT_FALSE(form->value("d").has_value());
  EXPECT_TRUE(form->files().empty());
  EXPECT_FALSE(fake.state.content_error());
}

TEST(FormUrlencoded, FailuresAreNamed) {
  FakeRequest escape(kUrlencoded, "a=%zz");
  EXPECT_EQ(failure(escape), http::Errc::malformed_form);
  FakeRequest pairs(kUrlencoded, "a&b&c");
  EXPECT_EQ(failure(pairs, {.pairs = 2}), http::Errc::form_too_large);
  FakeRequest memory(kUrlencoded, "a=456789");
  memory.limits.form_memory = 7;
  EXPECT_EQ(failure(memory), http::Errc::body_too_large);
  FakeRequest type("text/plain", "a=1");
  EXPECT_EQ(failure(type), http::Errc::unsupported_media_type);
  FakeRequest none("", "");
  EXPECT_EQ(failure(none), http::Errc::unsupported_media_type);
}

TEST(FormMultipart, FieldsAndFilesComeApart) {
  FakeRequest fake(kMultipart, part("a", "1") + file_part("f", "/tmp/x.txt", "data") +
                                   part("a", "2") + file_part("unchosen", "", "") +
                                   file_part("empty", "e", "") + file_part("anon", "", "x") + kEnd);
  const Result<Form> form = read_form(fake.request);
  ASSERT_TRUE(form.has_value());
  ASSERT_EQ(form->fields().size(), 2u);
  EXPECT_EQ(form->value("a"), "1");
  EXPECT_EQ(form->fields()[1].value, "2");
  ASSERT_EQ(form->files().size(), 3u);
  const UploadedFile* file = form->file("f");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->filename(), "/tmp/x.txt");
  EXPECT_EQ(file->display_name(), "x.txt");
  EXPECT_EQ(file->content_type(), "application/x-test");
  EXPECT_EQ(file->size(), 4u);
  EXPECT_EQ(file->disk(), nullptr);
  EXPECT_EQ(file->memory(), "data");
  EXPECT_EQ(file->read_all(), "data");
  EXPECT_EQ(form->file("unchosen"), nullptr);
  EXPECT_EQ(form->file("empty")->size(), 0u);
  EXPECT_EQ(form->file("empty")->read_all(), "");
  EXPECT_EQ(form->file("anon")->display_name(), "file");
  EXPECT_EQ(form->file("a"), nullptr);
}

TEST(FormMultipart, FilesBeyondTheMemoryGoToOneNamelessFile) {
  const TemporaryTree tree;
  const std::string big = pattern(300'000);
  const std::string small = pattern(5'000);
  FakeRequest fake(kMultipart, file_part("s", "s", small) + file_part("b", "b", big) +
                                   file_part("c", "c", big.substr(7)) + part("a", "1") + kEnd);
  Result<Form> form = read_form(fake.request, {.memory = 100'000, .directory = tree.path("")});
  ASSERT_TRUE(form.has_value());
  EXPECT_EQ(form->file("s")->disk(), nullptr);
  const UploadedFile b = *form->file("b");
  const UploadedFile c = *form->file("c");
  EXPECT_EQ(form->value("a"), "1");
  form = {};  // what is left of it lives on
  ASSERT_NE(b.disk(), nullptr);
  EXPECT_EQ(b.disk(), c.disk());
  const auto s = b.disk()->stat();
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(s->st_mode & 07777, 0600u);
  EXPECT_EQ(s->st_nlink, 0u);
  EXPECT_TRUE(std::filesystem::is_empty(tree.path("")));
  EXPECT_TRUE(b.read_all() == big);
  EXPECT_TRUE(c.read_all() == big.substr(7));
  std::array<std::byte, 10> some;
  EXPECT_EQ(b.read_at(some, big.size() - 3), 3u);
  EXPECT_EQ(b.read_at(some, big.size()), 0u);
  EXPECT_EQ(b.read_at(some, ~std::uint64_t{0}), 0u);
}

TEST(FormMultipart, FilesInMemoryMakeRoomForFields) {
  const std::string data = pattern(900);
  FakeRequest fake(kMultipart, file_part("f", "f", data) + part("a", std::string(500, 'x')) + kEnd);
  const Result<Form> form = read_form(fake.request, {.memory = 1400});
  ASSERT_TRUE(form.has_value());
  EXPECT_EQ(form->value("a"), std::string(500, 'x'));
  EXPECT_NE(form->file("f")->disk(), nullptr);
  EXPECT_TRUE(form->file("f")->read_all() == data);
}

TEST(FormMultipart, FieldsBeyondTheMemoryAreRefused) {
  FakeRequest one(kMultipart, part("a", std::string(2000, 'x')) + kEnd);
  EXPECT_EQ(failure(one, {.memory = 1000}), http::Errc::form_too_large);
  std::string many;
  for (int i = 0; i < 900; ++i) many += part("", "");
  FakeRequest empty(kMultipart, many + kEnd);
  EXPECT_EQ(failure(empty, {.memory = 100'000}), http::Errc::form_too_large);
  FakeRequest fine(kMultipart, many + kEnd);
  EXPECT_EQ(failure(fine, {.memory = 200'000}), std::error_code());
  std::string names;
  for (int i = 0; i < 200; ++i) names += file_part("f", std::string(8'000, 'n'), "x");
  FakeRequest long_names(kMultipart, names + kEnd);
  EXPECT_EQ(failure(long_names), http::Errc::form_too_large);
}

TEST(FormMultipart, LimitsHold) {
  FakeRequest parts(kMultipart, part("a", "") + part("b", "") + part("c", "") + kEnd);
  EXPECT_EQ(failure(parts, {.pairs = 2}), http::Errc::form_too_large);
  FakeRequest head(kMultipart, part("a", "") + kEnd);
  EXPECT_EQ(failure(head, {.part_head = 30}), http::Errc::form_too_large);
  FakeRequest early(kMultipart, part("a", ""));
  EXPECT_EQ(failure(early), http::Errc::malformed_form);
}

// ---- through a server

namespace {

std::string form_post(std::string_view type, std::string_view body) {
  return post("/", body, "Content-Type: " + std::string(type) + "\r\n");
}

// Says what it read, nothing when that fails.
void tell_form(http::Response& res, const http::Request& req) {
  const Result<Form> form = read_form(req);
  if (!form) return;
  for (const http::QueryPair& f : form->fields()) res.print("{}={}\n", f.name, f.value);
  for (const UploadedFile& f : form->files()) res.print("{}: {}\n", f.name(), f.size());
}

}  // namespace

TEST(FormServer, FormsAreAnsweredFromAndTheConnectionIsKept) {
  run([] {
    RunningServer server(http::Handler{tell_form});
    RawClient client(server.port());
    EXPECT_EQ(client.roundtrip(form_post(kUrlencoded, "a=1&b=2")).body, "a=1\nb=2\n");
    EXPECT_EQ(
        client.roundtrip(form_post(kMultipart, part("a", "1") + file_part("f", "x", "abc") + kEnd))
            .body,
        "a=1\nf: 3\n");
  });
}

TEST(FormServer, FailuresAreAnsweredForTheHandler) {
  run([] {
    http::ServerOptions options;
    options.limits.body = 100'000;
    options.limits.form_pairs = 3;
    options.limits.form_memory = 10'000;
    RunningServer server(http::Handler{tell_form}, options);
    const auto status = [&](std::string_view type, std::string_view body) {
      return fetch(server.port(), form_post(type, body)).status;
    };
    EXPECT_EQ(status(kUrlencoded, "a=%"), 400);
    EXPECT_EQ(status(kUrlencoded, "a&b&c&d"), 413);
    EXPECT_EQ(status(kUrlencoded, "a=" + std::string(20'000, 'x')), 413);
    EXPECT_EQ(status("text/plain", "a"), 415);
    EXPECT_EQ(status("multipart/form-data", "--b--"), 400);
    EXPECT_EQ(status(kMultipart, "--b\n"), 400);
    EXPECT_EQ(status(kMultipart, part("a", "")), 400);
    EXPECT_EQ(status(kMultipart, part("a", std::string(20'000, 'x')) + kEnd), 413);
    EXPECT_EQ(status(kMultipart, part("a", "") + part("a", "") + part("a", "") + part("a", "")),
              413);
    EXPECT_EQ(status(kMultipart, file_part("f", "x", std::string(200'000, 'x')) + kEnd), 413);
    EXPECT_EQ(status(kMultipart, file_part("f", "x", std::string(90'000, 'x')) + kEnd), 200);
    EXPECT_EQ(fetch(server.port(), get("/")).status, 415);
  });
}

TEST(FormServer, AHandlerThatAnswersAFailureItselfIsHeard) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      if (!read_form(req)) res.status(422).print("try again\n");
    }});
    RawClient client(server.port());
    const RawResponse r = client.roundtrip(form_post(kUrlencoded, "a=%"));
    EXPECT_EQ(r.status, 422);
    EXPECT_EQ(r.body, "try again\n");
    EXPECT_EQ(client.roundtrip(form_post(kUrlencoded, "a=1")).status, 200);
  });
}

TEST(FormServer, WhatAHandlerWroteBeforeAFailureIsReplaced) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      res.print("half an answer");
      (void)read_form(req);
    }});
    const RawResponse r = fetch(server.port(), form_post(kUrlencoded, "a=%"));
    EXPECT_EQ(r.status, 400);
    EXPECT_EQ(r.body, "Bad Request\n");
  });
}

TEST(FormServer, AFullDiskIsTheServersFault) {
  run([] {
    const TemporaryTree tree;
    std::error_code seen;
    RunningServer server(http::Handler{[&](http::Response&, const http::Request& req) {
      const Result<Form> form = read_form(req, {.memory = 1000, .directory = tree.path("none")});
      if (!form) seen = form.error();
    }});
    const RawResponse r =
        fetch(server.port(), form_post(kMultipart, file_part("f", "x", pattern(5000)) + kEnd));
    EXPECT_EQ(r.status, 500);
    EXPECT_EQ(seen, std::errc::no_such_file_or_directory);
  });
}

TEST(FormServer, FilesOnDiskAreSentBack) {
  run([] {
    RunningServer server(http::Handler{[](http::Response& res, const http::Request& req) {
      const Result<Form> form = read_form(req, {.memory = 1000});
      if (!form) return;
      for (const UploadedFile& f : form->files()) f.send(res);
    }});
    const std::string big = pattern(500'000);
    RawClient client(server.port());
    const RawResponse r = client.roundtrip(
        form_post(kMultipart, file_part("a", "a", "begin") + file_part("b", "b", big) + kEnd));
    EXPECT_EQ(r.status, 200);
    EXPECT_TRUE(r.body == "begin" + big);
  });
}

TEST(FormServer, ChunkedFormsByteByByteComeWhole) {
  run([] {
    RunningServer server(http::Handler{tell_form});
    RawClient client(server.port());
    const std::string body = part("a", "1\r\n--") + file_part("f", "x", "abc") + kEnd;
    std::string request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " + kMultipart +
                          "\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const char c : body) request += std::string("1\r\n") + c + "\r\n";
    ASSERT_TRUE(client.send_bytewise(request + "0\r\n\r\n"));
    EXPECT_EQ(client.read_response().body, "a=1\r\n--\nf: 3\n");
  });
}

}  // namespace treadle::test
